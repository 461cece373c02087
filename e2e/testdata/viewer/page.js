// A viewer as small as one can be: dicomweb-client lists studies and reads metadata, cornerstone's image loader fetches and decodes frames, cornerstone draws them.
// Whoever drives it clicks on a study, turns the wheel, and reads what stands in window.viewer.
const url = new URLSearchParams(location.search).get('dicomweb');
const client = new DICOMwebClient.api.DICOMwebClient({ url });
const element = document.getElementById('image');
const loader = cornerstoneWADOImageLoader;
loader.external.cornerstone = cornerstone;
loader.external.dicomParser = dicomParser;
const viewer = window.viewer = { listed: false, images: [], at: -1, shown: null, failed: null };
const text = (o, tag) => { const v = (o[tag] && o[tag].Value || [''])[0]; return String(v && v.Alphabetic || v); };
const guarded = (f) => (...a) => f(...a).catch((e) => { viewer.failed = String(e && (e.message || (e.error && e.error.message)) || JSON.stringify(e)); });

const list = guarded(async () => {
  for (const study of await client.searchForStudies()) {
    const b = document.createElement('button');
    b.id = text(study, '00080061');
    b.textContent = `${text(study, '00100010')}  ${text(study, '00080020')}  ${text(study, '00081030')}  ${text(study, '00201208')} images`;
    b.onclick = () => open(text(study, '0020000D'));
    document.getElementById('studies').append(b);
  }
  viewer.listed = true;
});

// open lines up all frames of a study, in the order of their series, instances and numbers, and shows the first.
const open = guarded(async (studyInstanceUID) => {
  viewer.images = [];
  viewer.shown = null;
  for (const series of await client.searchForSeries({ studyInstanceUID })) {
    const seriesInstanceUID = text(series, '0020000E');
    const all = await client.retrieveSeriesMetadata({ studyInstanceUID, seriesInstanceUID });
    all.sort((a, b) => text(a, '00200013') - text(b, '00200013'));
    for (const instance of all) {
      for (let frame = 1; frame <= Number(text(instance, '00280008') || 1); frame++) {
        const id = `wadors:${url}/studies/${studyInstanceUID}/series/${seriesInstanceUID}/instances/${text(instance, '00080018')}/frames/${frame}`;
        loader.wadors.metaDataManager.add(id, instance);
        viewer.images.push({ id, sop: text(instance, '00080018'), frame, width: instance['00280011'].Value[0], height: instance['00280010'].Value[0] });
      }
    }
  }
  await show(0);
});

// show draws an image in its own size, so that each pixel of it is one of the screen.
const show = guarded(async (n) => {
  const wanted = viewer.images[n];
  viewer.at = n;
  const image = await cornerstone.loadImage(wanted.id);
  if (viewer.at !== n) return; // the wheel was turned on
  element.style.width = `${wanted.width}px`;
  element.style.height = `${wanted.height}px`;
  cornerstone.enable(element);
  cornerstone.resize(element);
  element.addEventListener('cornerstoneimagerendered', () => {
    document.getElementById('says').textContent = `${n + 1} of ${viewer.images.length}`;
    viewer.shown = n;
  }, { once: true });
  cornerstone.displayImage(element, image, cornerstone.getDefaultViewportForImage(element, image)); // with its own window
});

document.addEventListener('wheel', (e) => {
  const n = viewer.at + Math.sign(e.deltaY);
  if (n >= 0 && n < viewer.images.length) show(n);
});

// pixels are what is on the screen now: red, green and blue of each pixel, base64.
viewer.pixels = () => {
  const canvas = element.querySelector('canvas');
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  let out = '';
  for (let i = 0; i < data.length; i += 4) out += String.fromCharCode(data[i], data[i + 1], data[i + 2]);
  return { ...viewer.images[viewer.shown], id: undefined, canvasWidth: canvas.width, canvasHeight: canvas.height, rgb: btoa(out) };
};

list();
