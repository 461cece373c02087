// The connection to the agent. Its stream is the usual way; where it does not get through (an old proxy, too many pages) the page asks again and again. What
// is shown has an age, and a page that has heard nothing for a while says so, loudly: an old good state must never look like one of now.

const silence = 10_000; // the agent speaks every 4 seconds
const asking = 4_000;   // between two questions where there is no stream
const trying = 30_000;  // between two tries to get the stream back

// Live calls heard(status), happened(events) and contact('live' | 'polling' | 'lost').
export class Live {
  #heard; #happened; #contact;
  #stream; #asks; #after = 0; #tried = 0;
  last = 0; // when the agent was last heard

  constructor({ heard, happened, contact }) {
    [this.#heard, this.#happened, this.#contact] = [heard, happened, contact];
    this.#open();
    setInterval(() => this.#watch(), 1000);
    addEventListener('online', () => this.#open());
    addEventListener('pageshow', (event) => event.persisted && this.#open());
    addEventListener('pagehide', () => this.#stream?.close()); // a page that is kept aside holds no connection
  }

  get age() { return Date.now() - this.last; }

  #open() {
    this.#stream?.close();
    this.#tried = Date.now();
    const stream = new EventSource('/api/v1/live');
    this.#stream = stream;
    stream.addEventListener('status', (event) => {
      if (stream !== this.#stream) return;
      this.#quiet();
      this.#take(JSON.parse(event.data), 'live');
    });
    stream.addEventListener('happened', (event) => this.#events(JSON.parse(event.data)));
    stream.addEventListener('error', () => this.#ask()); // it tries again by itself, unless it was answered with an error
  }

  #take(status, how) {
    this.last = Date.now();
    this.#contact(how);
    this.#heard(status);
  }

  #events(list) {
    const fresh = list.filter((e) => e.seq > this.#after);
    if (fresh.length === 0) return;
    this.#after = fresh.at(-1).seq;
    this.#happened(fresh);
  }

  // #watch notices silence, also that of a connection which looks open.
  #watch() {
    if (this.last && this.age > silence) this.#contact('lost');
    if (this.age > silence || this.#stream.readyState === EventSource.CLOSED) {
      this.#ask();
      if (Date.now() - this.#tried > trying) this.#open();
    }
  }

  // #ask asks until the stream speaks again.
  #ask() {
    if (this.#asks) return;
    const again = async () => {
      const began = Date.now();
      await this.#question();
      if (this.#asks) this.#asks = setTimeout(again, Math.max(500, asking - (Date.now() - began)));
    };
    this.#asks = setTimeout(again, 1000);
  }

  #quiet() {
    clearTimeout(this.#asks);
    this.#asks = undefined;
  }

  async #question() {
    try {
      const status = await question('/api/v1/status');
      if (!this.#asks) return;
      this.#take(status, 'polling');
      this.#events(await question('/api/v1/events?limit=60'));
    } catch {
      if (this.age > silence) this.#contact('lost');
    }
  }
}

// question asks the agent. Who is not let in any more signs in again.
export async function question(path) {
  const answer = await fetch(path, { headers: { Accept: 'application/json' }, cache: 'no-store', signal: AbortSignal.timeout(8_000) })
    .catch(() => { throw new Error('the agent does not answer'); });
  if (answer.status === 401) location.assign('/login#over');
  if (!answer.ok) throw new Error((await answer.text()).trim() || `the agent answers ${answer.status}`);
  return answer.json();
}
