// The studies: the list with its search, one study in detail, and what waits and why. Studies are called by their short names, unless the site is configured
// otherwise; both the name and the UID find them.

import { h, get, put, say, count, some, bytes, stated, plain, glyphs } from './parts.js';
import { question } from './live.js';
import { where, standing, sitesOf } from './sites.js';

const words = ['settled', 'published', 'syncing', 'held', 'incomplete', 'conflict'];
const most = 50;
const last = '9223372036854775807'; // above every number of a change

export class Studies {
  #show; #byUID = false; #state = ''; #rows = []; #asked = 0; #soon; #waits = new Map(); #waitsAsked = 0;

  // show(give) opens the dialog with what give gives: a title and content.
  constructor(show) {
    this.#show = show;
    const choice = (value, label) => h('label', {}, h('input', { type: 'radio', name: 'state', value, checked: value === '', onchange: () => this.#choose(value) }), h('span', {}, label));
    get('states').append(choice('', 'all'), ...words.map((w) => choice(w, [h('i', { 'aria-hidden': 'true' }, glyphs[w]), ' ', w])));
    get('search').addEventListener('submit', (event) => { event.preventDefault(); this.#list(); });
    get('find').addEventListener('input', () => this.refresh(250));
    get('more').addEventListener('click', () => this.#list(this.#rows.at(-1)?.change));
    addEventListener('keydown', (event) => {
      if (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA)$/.test(event.target.tagName) || get('detail').open) return;
      event.preventDefault();
      get('find').focus();
    });
  }

  set byUID(yes) { this.#byUID = yes; }

  #choose(state) {
    this.#state = state;
    this.#list();
  }

  // refresh asks again soon: many changes at once are one question.
  refresh(wait = 1000) {
    if (this.#soon && wait >= 1000) return;
    clearTimeout(this.#soon);
    this.#soon = setTimeout(() => { this.#soon = undefined; this.#list(); }, wait);
  }

  // #list shows the studies that changed last, or those before one that is shown.
  async #list(before) {
    const mine = ++this.#asked, find = get('find').value.trim();
    const ask = new URLSearchParams({ before: before ?? last, limit: before ? most : Math.max(most, Math.min(this.#rows.length, 1000)), state: this.#state, find });
    try {
      const rows = await question(`/api/v1/studies?${ask}`);
      if (mine !== this.#asked) return; // somebody typed on meanwhile
      this.#rows = before ? [...this.#rows, ...rows] : rows;
      get('more').hidden = rows.length < most;
      this.#draw(find, rows.length < most);
    } catch (error) {
      if (mine === this.#asked) say(get('found'), `The list could not be had: ${error.message}`);
    }
  }

  #draw(find, all) {
    const n = this.#rows.length, those = [this.#state, find && `with “${find}”`].filter(Boolean).join(', ');
    say(get('found'), n === 0 ? (those ? `No study is ${those}.` : 'There is no study yet.') : `${all ? some(n, 'study', 'studies') : `The ${count(n)} that changed last`}${those ? `: ${those}` : ''}`);
    const cell = (label, ...content) => h('td', { 'data-label': label, class: /Series|Instances|Size/.test(label) ? 'number' : undefined }, ...content);
    put(get('list'), n > 0 && h('table', {},
      h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, 'Study'), h('th', { scope: 'col' }, 'State'), ['Series', 'Instances', 'Size'].map((t) => h('th', { scope: 'col', class: 'number' }, t)), h('th', { scope: 'col' }, 'Why'))),
      h('tbody', {}, this.#rows.map((r) => h('tr', {}, h('th', { scope: 'row' }, this.button(r.study, r.name)), cell('State', stated(r.state)), cell('Series', count(r.series)),
        cell('Instances', count(r.instances)), cell('Size', bytes(r.bytes)), cell('Why', plain(r.reason)))))));
  }

  // button is a study by its name; it opens the detail. key is its own among those around it.
  button(uid, name, key = `study-${uid}`) {
    return h('button', { class: this.#byUID || !name ? 'plain uid' : 'plain name', 'data-key': key, onclick: () => this.open(uid) }, this.#byUID || !name ? uid : name);
  }

  // open shows one study: where it is.
  open(uid) {
    const copied = { said: '' };
    this.#show(async () => {
      const [study, status] = await Promise.all([question(`/api/v1/studies/${uid}`), question('/api/v1/status')]);
      const silent = new Set(sitesOf(status).filter((x) => !x.self && x.up !== 'up').map((x) => x.name));
      return [this.#byUID ? study.study : `Study ${study.name}`, this.#detail(study, silent, copied)];
    });
  }

  #detail(study, silent, copied) {
    const answer = h('span', { role: 'status' }, copied.said);
    const tell = (text) => { copied.said = text; say(document.getElementById('detail-body').querySelector('[role="status"]') ?? answer, text); };
    const copy = () => navigator.clipboard.writeText(study.study).then(() => tell('copied'), () => tell('the browser does not let pages copy'));
    const list = (title, items) => items.length > 0 && [h('h3', {}, title), h('ul', { class: 'paths' }, items.map((x) => h('li', {}, x)))];
    return [h('p', { class: 'standing' }, standing(study)),
      h('p', {}, `${some(study.instances, 'instance')} in ${some(study.series, 'series', 'series')}, ${bytes(study.bytes)}`),
      h('h3', {}, 'Where it is'), where(study, silent),
      study.missing_count > 0 && h('p', { class: 'state warn' }, `${some(study.missing_count, 'file')} missing: dicomesh study UID names them`),
      list('Files that do not count', (study.faults ?? []).map((f) => f.reason)),
      study.certificate && h('p', { class: 'quiet' }, `Settled by what ${study.certificate.sites.map((x) => x.site).join(', ')} reported`, study.certificate.exceptions?.length ? `; without ${study.certificate.exceptions.join(', ')}` : '', '.'),
      h('p', {}, h('button', { 'data-key': 'copy', onclick: copy }, 'Copy the Study Instance UID'), ' ', answer)];
  }

  // waiting shows what is held, incomplete or in conflict, by reason.
  async waiting(counts) {
    const mine = ++this.#waitsAsked;
    for (const state of ['conflict', 'held', 'incomplete']) {
      if (!counts[state]) { this.#waits.delete(state); continue; }
      try {
        const rows = await question(`/api/v1/studies?state=${state}&limit=200`);
        if (mine !== this.#waitsAsked) return;
        this.#waits.set(state, rows);
      } catch { return; } // what is shown stays, and its age is told elsewhere
    }
    const groups = [...this.#waits].map(([state, rows]) => this.#group(state, rows, counts[state]));
    put(get('waiting'), groups.length ? groups : h('p', { class: 'calm' }, h('i', { 'aria-hidden': 'true' }, '✓'), ' Nothing waits for a site, a file or a human.'));
  }

  #group(state, rows, total) {
    const reasons = Map.groupBy(rows, (r) => r.reason ?? 'no reason is known');
    return h('div', { class: 'group' }, h('h3', {}, stated(state), ' ', h('b', {}, count(total))),
      [...reasons].map(([why, some]) => h('p', {}, plain(why), ' ', h('span', { class: 'names' }, some.slice(0, 12).map((r) => [this.button(r.study, r.name), ' ']), some.length > 12 && `and ${count(some.length - 12)} more`))));
  }
}
