// Walks through the status page in a browser, as somebody with a keyboard and no mouse would. Standard input has a step a line, as JSON: {"do": NAME, ...}; for each of them
// standard output has a line: {"fault": WHY}, where "" is none. Each step is one of steps below.
//
//   node walk.js MODULES CHROMIUM
//
// Whatever the step, the page must have asked nobody but its agent, its console must be silent, it must be the page that was opened first (whatever changed came to it), it must not name
// what "never" listed, fit 400 pixels, and have nothing that axe-core faults: that is looked at after each step that has a "look". With
// SCREENSHOT=FOLDER it is then kept as it is seen, in both widths, light and dark, under that name.
const fs = require('fs');
const os = require('os');
const path = require('path');
const readline = require('readline');
const [modules, chromium] = process.argv.slice(2);
const { chromium: driver } = require(path.join(modules, 'node_modules', 'playwright-core'));
const axe = fs.readFileSync(path.join(modules, 'node_modules', 'axe-core', 'axe.min.js'), 'utf8');
const patience = 120_000;
const wide = { width: 1440, height: 900 }, narrow = { width: 400, height: 800 };

let page, origin, never = [];
let foreign = [], said = []; // what went to others, and what the console said, since the last step
let gone = false;            // nobody answers, and the browser may say so
let pictures = 0;
const refused = /Failed to load resource/;

// until waits for what the page shows; what says it when it never does.
async function until(what, holds, argument) {
  try {
    await page.waitForFunction(holds, argument, { timeout: patience, polling: 150 });
  } catch (error) {
    const shown = await page.evaluate(() => document.body.innerText.slice(0, 4000)).catch(() => '');
    throw new Error(`${what}: it never came to this (${error.message.split('\n')[0]}). The page says:\n${shown}`);
  }
}

// press presses a key as often as it takes until what has the focus matches.
async function pressTo(key, selector, most = 80) {
  for (let i = 0; i < most; i++) {
    await page.keyboard.press(key);
    if (await page.evaluate((s) => document.activeElement.matches(s), selector)) return;
  }
  throw new Error(`${most} times ${key} do not lead to ${selector}`);
}

const focused = (selector) => until(`${selector} has the focus`, (s) => document.activeElement?.matches(s), selector);

const steps = {
  // open opens the page of an agent.
  async open(step) {
    origin = new URL(step.url).origin;
    never = step.never ?? [];
    await page.goto(step.url);
    await until('the page is live', () => document.body.dataset.contact === 'live');
    await page.evaluate(() => { window.opened = true; });
  },

  // state waits for the huge word, and holds that the title, the icon and the reason go with it.
  async state({ state, reason }) {
    await until(`it says ${state}: ${reason}`, ([state, reason]) => document.body.dataset.state === state && document.getElementById('word').textContent === state
      && document.getElementById('reason').textContent.includes(reason) && document.title.startsWith(`${state} · `) && document.getElementById('icon').href.endsWith(`icon-${state}.svg`), [state, reason]);
  },

  // links waits until the drawing has so many directions that carry nothing.
  async links({ down }) {
    await until(`${down} ways are down`, (n) => document.querySelectorAll('#map .way').length >= 6 && document.querySelectorAll('#map .way.down').length === n, down);
  },

  // counted waits for the number of studies in a state.
  async counted({ state, n }) {
    await until(`${n} are ${state}`, ([state, n]) => document.querySelector(`#counts .${state} dd`)?.textContent === String(n), [state, n]);
  },

  // listed waits for a study in the list, in a state.
  async listed({ study, state }) {
    await until(`${study} is ${state} in the list`, ([key, state]) => [...document.querySelectorAll('#list tbody tr')].some((row) => row.querySelector(`[data-key="study-${key}"]`) && row.querySelector('.state').textContent.includes(state)), [study, state]);
  },

  // waits waits for a study under what waits, with the reason.
  async waits({ study, reason }) {
    await until(`${study} waits: ${reason}`, ([key, reason]) => [...document.querySelectorAll('#waiting .group p')].some((p) => p.querySelector(`[data-key="study-${key}"]`) && p.textContent.includes(reason)), [study, reason]);
  },

  // site waits for what the table says of a site.
  async site({ site, says }) {
    await until(`of ${site} it says ${says}`, ([site, says]) => [...document.querySelectorAll('#sites tbody tr')].some((row) => row.querySelector('th').textContent === site && row.innerText.includes(says)), [site, says]);
  },

  // scrolls reads on below among the events, in so little room that there is a below, and goes elsewhere.
  async scrolls() {
    await until('the events can be scrolled', () => {
      const events = document.getElementById('events');
      Object.assign(events.style, { flex: 'none', height: '3rem' });
      events.scrollTop = 30;
      return events.scrollTop > 0;
    });
    await page.evaluate(() => document.activeElement.blur());
  },

  // event waits for what happened.
  async event({ kind, study }) {
    await until(`it tells ${kind} of ${study}`, ([kind, name]) => [...document.querySelectorAll(`#events li.${kind}`)].some((e) => e.querySelector('button')?.textContent === name), [kind, study]);
    await until('the newest events are in sight', () => document.getElementById('events').scrollTop === 0);
    await page.evaluate(() => Object.assign(document.getElementById('events').style, { flex: '', height: '' })); // as it was before scrolls
  },

  // skips goes by the link for those who have no mouse past everything to the studies.
  async skips() {
    await page.evaluate(() => document.activeElement.blur());
    await page.keyboard.press('Tab');
    await focused('a.skip');
    await page.keyboard.press('Enter');
    await pressTo('Tab', '#find', 3);
  },

  // search types into the search, wherever the focus was, and waits for what is found: these studies and no others.
  async search({ text, studies }) {
    await page.keyboard.press('/');
    await focused('#find');
    await page.keyboard.press('Control+A');
    await page.keyboard.press('Backspace');
    if (text) await page.keyboard.type(text);
    await until(`“${text}” finds ${studies}`, (studies) => {
      const rows = [...document.querySelectorAll('#list tbody [data-key]')].map((b) => b.dataset.key.slice('study-'.length));
      return rows.length === studies.length && studies.every((s) => rows.includes(s)) && document.getElementById('found').textContent.startsWith(studies.length ? String(studies.length) : 'No study is');
    }, studies);
  },

  // only chooses a state beside the search with the arrow keys, waits for what is listed, and goes back to all.
  async only({ state, n }) {
    await page.evaluate(() => document.activeElement.blur());
    await page.keyboard.press('/');
    await page.keyboard.press('Tab');
    await focused('#states input');
    await pressTo('ArrowRight', `#states input[value="${state}"]`, 10);
    await until(`${n} are ${state}`, ([state, n]) => {
      const rows = [...document.querySelectorAll('#list tbody tr')];
      return rows.length === n && rows.every((r) => r.querySelector('.state').textContent.includes(state)) && document.getElementById('found').textContent.includes(state);
    }, [state, n]);
    await pressTo('ArrowRight', '#states input[value=""]', 10);
  },

  // study opens a study of the list and waits for what is said of where it is; Escape closes it, and the focus is where it was.
  async study({ study, says, look }) {
    const key = `#list [data-key="study-${study}"]`;
    await pressTo('Tab', key);
    await page.keyboard.press('Enter');
    await until(`it says ${says}`, (says) => document.getElementById('detail').open && document.getElementById('detail').innerText.includes(says), says);
    await faultless(look);
    await steps.closed({ study });
  },

  // opened leaves a study open, for what changes meanwhile; closed closes it, and the focus is on it, wherever in the list it is by now.
  async opened({ study, says }) {
    await page.keyboard.press('/');
    await pressTo('Tab', `#list [data-key="study-${study}"]`);
    await page.keyboard.press('Enter');
    await steps.told({ says });
  },
  async told({ says }) {
    await until(`it says ${says}`, (says) => document.getElementById('detail').open && document.getElementById('detail').innerText.includes(says), says);
  },
  async closed({ study }) {
    await page.keyboard.press('Escape');
    await until('it is closed', () => !document.getElementById('detail').open);
    if (study) await focused(`#list [data-key="study-${study}"]`);
  },

  // visit opens a site of the table and waits for what is said of it.
  async visit({ site, says, look }) {
    const key = `#sites [data-key="site-${site}"]`;
    await page.evaluate(() => document.activeElement.blur());
    await pressTo('Tab', key);
    await page.keyboard.press('Enter');
    await steps.told({ says });
    await faultless(look);
    await steps.closed({});
    await focused(key);
  },

  // gone waits until the page says that its agent does not answer; what it shows of before looks like it.
  async gone({ site }) {
    gone = true;
    await until('it says that there is no contact', (site) => document.body.dataset.contact === 'lost' && document.getElementById('word').textContent === 'no contact'
      && document.getElementById('reason').textContent.includes(`The agent of ${site} does not answer`) && document.getElementById('since').textContent.includes('dicomesh status')
      && document.title.startsWith('no contact') && document.getElementById('icon').href.endsWith('icon-none.svg') && getComputedStyle(document.querySelector('.grid')).filter.includes('grayscale'), site);
  },

  // back waits until the page hears the agent again, by itself.
  async back() {
    await until('it is live again', () => document.body.dataset.contact === 'live');
    said = said.filter((text) => !refused.test(text)); // of the time until then
    gone = false;
  },

  // login opens a page that asks who is there.
  async login({ url }) {
    origin = new URL(url).origin;
    await page.goto(url);
    await until('it asks for a token', () => location.pathname === '/login' && document.activeElement.id === 'token');
    await page.evaluate(() => { window.opened = true; });
  },

  // enter signs in with a token, and waits for what is said, or for the page.
  async enter({ token, says }) {
    gone = Boolean(says); // a refusal is an answer that the browser tells of
    await focused('#token');
    await page.keyboard.type(token);
    await page.keyboard.press('Enter');
    if (says) return until(`it says ${says}`, (says) => document.getElementById('said').textContent.includes(says) && document.activeElement.id === 'token', says);
    await until('the page is live', () => location.pathname === '/' && document.body.dataset.contact === 'live' && !document.getElementById('leave').hidden);
    await page.evaluate(() => { window.opened = true; });
  },

  // crowd holds that a page of many sites can be read, in both widths: every name in the drawing is wholly seen, and alone where it is; no word is broken. What is down is drawn as
  // so many links.
  async crowd({ state, trouble, down }) {
    await until(`it says ${state}, in trouble: ${trouble}`, ([state, trouble]) => document.body.dataset.state === state && document.body.dataset.trouble === trouble
      && document.getElementById('word').textContent === state && document.title.startsWith(trouble === 'bad' ? `✕ ${state}` : `${state} · `), [state, trouble]);
    for (const size of [narrow, wide]) {
      await page.setViewportSize(size);
      await until(`${down} links are down`, (n) => document.querySelectorAll('#map .way').length === 190 && document.querySelectorAll('#map .way.down').length === n, down);
      const faults = await page.evaluate(() => {
        const frame = document.querySelector('#map svg').getBoundingClientRect(), names = [...document.querySelectorAll('#map .name')];
        const boxes = names.map((e) => e.getBoundingClientRect()), texts = names.map((e) => e.textContent);
        const out = texts.filter((text, i) => boxes[i].left < frame.left || boxes[i].right > frame.right || boxes[i].top < frame.top || boxes[i].bottom > frame.bottom).map((text) => `${text} is cut off`);
        boxes.forEach((a, i) => boxes.slice(i + 1).forEach((b, j) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom && out.push(`${texts[i]} and ${texts[i + 1 + j]} lie on each other`)));
        if (new Set(texts).size < texts.length) out.push(`names are alike: ${texts}`);
        for (const e of document.querySelectorAll('#sites .state, #events time')) {
          for (const part of [...e.childNodes].filter((n) => n.nodeType === Node.TEXT_NODE)) {
            for (const word of part.textContent.matchAll(/[\w:]+/g)) {
              const range = document.createRange();
              range.setStart(part, word.index);
              range.setEnd(part, word.index + word[0].length);
              if (range.getClientRects().length > 1) out.push(`${word[0]} is broken`);
            }
          }
        }
        return out;
      });
      if (faults.length) throw new Error(`at ${size.width} pixels: ${faults.join('; ')}`);
    }
  },

  // leaves goes away from the page, before its agent does.
  async leaves() {
    await page.goto('about:blank');
  },

  // leave signs out.
  async leave() {
    await pressTo('Tab', '#leave');
    await page.keyboard.press('Enter');
    await steps.turned({});
  },

  // turned waits until whoever may not look any more is back where people sign in.
  async turned({ says }) {
    gone = true;
    await until('it asks for a token', () => location.pathname === '/login' && document.getElementById('token'));
    await until(`it says why: ${says}`, (says) => document.getElementById('said').textContent.startsWith(says), says ?? '');
    await page.evaluate(() => { window.opened = true; });
  },
};

// faultless holds what holds always.
async function faultless(step) {
  if (!(await page.evaluate(() => window.opened))) throw new Error('the page was loaded again');
  if (foreign.length) throw new Error(`asked somebody else: ${foreign.join(', ')}`);
  const loud = said.filter((text) => !(gone && refused.test(text)));
  if (loud.length) throw new Error(`the console says: ${loud.join('; ')}`);
  said = [];
  const text = await page.evaluate(() => [document.title, document.body.innerText, ...[...document.querySelectorAll('[title],[aria-label]')].map((e) => `${e.title} ${e.ariaLabel}`)].join('\n'));
  const told = never.filter((word) => text.toLowerCase().includes(word.toLowerCase()));
  if (told.length) throw new Error(`it names ${told.join(', ')}:\n${text}`);
  for (const [size, scheme] of [[narrow, 'dark'], [wide, 'light']]) {
    await page.setViewportSize(size);
    await page.emulateMedia({ colorScheme: scheme });
    await fits(size, scheme);
    await judged(size, scheme);
  }
  if (process.env.SCREENSHOT) await picture(step);
}

// fits holds that nothing is wider than the window, or than the section or dialog that it is in.
async function fits(size) {
  const over = await page.evaluate(() => {
    const wide = document.documentElement.clientWidth;
    const narrow = [...document.querySelectorAll('section, dialog[open], dialog[open] > *')].filter((e) => e.scrollWidth > e.clientWidth + 1);
    if (narrow.length) return narrow.map((e) => `what is in ${e.tagName} ${e.id || e.className}`).join(', ');
    if (document.documentElement.scrollWidth <= wide) return '';
    return [...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > wide + 1).slice(0, 5).map((e) => `${e.tagName} ${e.id} ${e.className.baseVal ?? e.className}`).join(', ') || 'something';
  });
  if (over) throw new Error(`wider than ${size.width} pixels: ${over}`);
}

// judged holds that axe-core has nothing against the page.
async function judged(size, scheme) {
  await page.evaluate(axe);
  const faults = await page.evaluate(async () => (await axe.run({ resultTypes: ['violations'], runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'] }))
    .violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map((n) => `${n.target} (${n.any.map((x) => x.message).join(' ')})`).join(', ')}`));
  if (faults.length) throw new Error(`at ${size.width} pixels, ${scheme}: ${faults.join('\n')}`);
}

async function picture(step) {
  pictures++;
  for (const size of [wide, narrow]) {
    for (const scheme of ['light', 'dark']) {
      await page.setViewportSize(size);
      await page.emulateMedia({ colorScheme: scheme });
      await page.waitForTimeout(400); // colours change slowly
      await page.screenshot({ path: path.join(process.env.SCREENSHOT, `${String(pictures).padStart(2, '0')}-${step}-${size.width}-${scheme}.png`), fullPage: !step.startsWith('open') });
    }
  }
  await page.setViewportSize(wide);
}

async function main() {
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'page-'));
  const context = await driver.launchPersistentContext(profile, {
    executablePath: chromium, headless: true, viewport: wide, timeout: patience, colorScheme: 'light', reducedMotion: 'reduce',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
  context.setDefaultTimeout(patience);
  try {
    page = context.pages()[0] || await context.newPage();
    page.on('request', (r) => { if (r.url() !== 'about:blank' && new URL(r.url()).origin !== origin) foreign.push(r.url()); });
    page.on('console', (m) => { if (['error', 'warning'].includes(m.type())) said.push(m.text()); });
    page.on('pageerror', (e) => said.push(e.message));
    for await (const line of readline.createInterface({ input: process.stdin })) {
      const step = JSON.parse(line);
      let fault = '';
      try {
        await steps[step.do](step);
        if (step.look && !['study', 'visit'].includes(step.do)) await faultless(step.look); // those two look while it is open
      } catch (error) {
        fault = error.message;
      }
      console.log(JSON.stringify({ fault }));
    }
  } finally {
    await context.close();
    fs.rmSync(profile, { recursive: true, force: true });
  }
}

main().catch((e) => { console.error(e.message || e); process.exit(1); });
