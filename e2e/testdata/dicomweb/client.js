// Stores, searches and retrieves with dicomweb-client, the library that web viewers use. node client.js MODULES URL FILE...
const path = require('path');
const fs = require('fs');
const [modules, url, ...files] = process.argv.slice(2);
global.XMLHttpRequest = require(path.join(modules, 'node_modules', 'xhr2'));
const { api } = require(path.join(modules, 'node_modules', 'dicomweb-client'));

function same(what, a, b) {
  if (JSON.stringify(a) !== JSON.stringify(b)) throw new Error(`${what}: ${JSON.stringify(a)} and not ${JSON.stringify(b)}`);
}

const digest = (b) => require('crypto').createHash('sha256').update(Buffer.from(b)).digest('hex');

async function main() {
  const client = new api.DICOMwebClient({ url });
  if (files.length > 0) {
    const datasets = files.map((f) => { const b = fs.readFileSync(f); return b.buffer.slice(b.byteOffset, b.byteOffset + b.length); });
    await client.storeInstances({ datasets });
    return;
  }
  const sums = new Set(fs.readFileSync(0, 'utf8').split('\n').filter((l) => l));
  const studies = await client.searchForStudies({ queryParams: { limit: 100 } });
  let instances = 0;
  for (const s of studies) {
    const studyInstanceUID = s['0020000D'].Value[0];
    const series = await client.searchForSeries({ studyInstanceUID });
    same('series', series.length, s['00201206'].Value[0]);
    for (const e of series) {
      const seriesInstanceUID = e['0020000E'].Value[0];
      const found = await client.searchForInstances({ studyInstanceUID, seriesInstanceUID });
      const metadata = await client.retrieveSeriesMetadata({ studyInstanceUID, seriesInstanceUID });
      same('metadata', metadata.map((m) => m['00080018'].Value[0]), found.map((i) => i['00080018'].Value[0]));
      const sopInstanceUID = found[0]['00080018'].Value[0];
      const ids = { studyInstanceUID, seriesInstanceUID, sopInstanceUID };
      same('one instance', (await client.retrieveInstanceMetadata(ids))[0]['00080018'], found[0]['00080018']);
      if (!sums.has(digest(await client.retrieveInstance(ids)))) throw new Error('a file that was not sent');
      for (const file of await client.retrieveSeries({ studyInstanceUID, seriesInstanceUID })) {
        instances++;
        if (!sums.has(digest(file))) throw new Error('a file of a series that was not sent');
      }
      const frames = await client.retrieveInstanceFrames({ ...ids, frameNumbers: [1] });
      const size = metadata[0]['00280010'].Value[0] * metadata[0]['00280011'].Value[0] * metadata[0]['00280002'].Value[0] * metadata[0]['00280100'].Value[0] / 8;
      same('frame', [frames.length, frames[0].byteLength], [1, size]);
      const picture = Buffer.from([].concat(await client.retrieveInstanceRendered({ ...ids, mediaTypes: [{ mediaType: 'image/jpeg' }] }))[0]);
      same('picture', picture.subarray(0, 2).toString('hex'), 'ffd8');
      const small = Buffer.from([].concat(await client.retrieveInstanceThumbnail({ ...ids, mediaTypes: [{ mediaType: 'image/jpeg' }] }))[0]);
      same('thumbnail', small.subarray(0, 2).toString('hex'), 'ffd8');
    }
  }
  same('files', instances, sums.size);
  console.log(`${studies.length} studies, ${instances} instances`);
}

main().catch((e) => { console.error(e.message || e); process.exit(1); });
