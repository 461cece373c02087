// Walks through the viewer in a browser: lists, opens a study, turns the wheel through all its images, and writes what was on the screen, a line of JSON for each.
//   node walk.js MODULES CHROMIUM PORT DICOMWEB OUT MODALITY=IMAGES...
// The page comes from PORT of this machine, and reads DICOMweb of another origin, as viewers do. With SCREENSHOT=FILE the last image is kept as it was seen.
const fs = require('fs');
const http = require('http');
const os = require('os');
const path = require('path');
const [modules, chromium, port, dicomweb, out, ...studies] = process.argv.slice(2);
const { chromium: driver } = require(path.join(modules, 'node_modules', 'playwright-core'));
const patience = 60_000;

const kinds = { '.html': 'text/html', '.js': 'text/javascript' };
const server = http.createServer((request, response) => {
  const name = new URL(request.url, 'http://localhost').pathname;
  const file = name.startsWith('/modules/') ? path.join(modules, 'node_modules', name.slice('/modules/'.length)) : path.join(__dirname, name);
  fs.readFile(file, (error, text) => {
    response.writeHead(error ? 404 : 200, { 'Content-Type': kinds[path.extname(file)] || 'application/octet-stream' });
    response.end(error ? '' : text);
  });
});

async function walk(page, modality, images, lines) {
  const until = (f, arg) => page.waitForFunction(f, arg, { timeout: patience });
  await until(() => viewer.listed || viewer.failed);
  await page.click(`#${modality}`, { timeout: patience });
  for (let n = 0; n < images; n++) {
    if (n > 0) await page.mouse.wheel(0, 100);
    await until((n) => viewer.shown === n || viewer.failed, n);
    const failed = await page.evaluate(() => viewer.failed);
    if (failed) throw new Error(`image ${n} of ${modality}: ${failed}`);
    lines.push(JSON.stringify(await page.evaluate(() => viewer.pixels())));
  }
  const all = await page.evaluate(() => viewer.images.length);
  if (all !== images) throw new Error(`${modality}: ${all} images and not ${images}`);
  if (process.env.SCREENSHOT) await page.screenshot({ path: `${process.env.SCREENSHOT}-${modality}.png` });
}

async function main() {
  await new Promise((done, fail) => server.on('error', fail).listen(Number(port), '127.0.0.1', done));
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'viewer-'));
  const context = await driver.launchPersistentContext(profile, {
    executablePath: chromium, headless: true, viewport: { width: 900, height: 600 }, timeout: patience,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
  try {
    const page = context.pages()[0] || await context.newPage();
    const said = [];
    page.on('console', (m) => { if (m.type() === 'error') said.push(m.text()); });
    page.on('pageerror', (e) => said.push(e.message));
    await page.goto(`http://127.0.0.1:${port}/page.html?dicomweb=${encodeURIComponent(dicomweb)}`);
    const lines = [];
    for (const s of studies) {
      const [modality, images] = s.split('=');
      await walk(page, modality, Number(images), lines).catch((e) => { throw new Error(`${e.message}; the browser says: ${said.join('; ')}`); });
    }
    fs.writeFileSync(out, lines.join('\n') + '\n');
    console.log(`${lines.length} images`);
  } finally {
    await context.close();
    fs.rmSync(profile, { recursive: true, force: true });
    server.close();
  }
}

main().catch((e) => { console.error(e.message || e); process.exit(1); });
