// One conversation with the server: two sockets, and coming back to it where the connection breaks.

const KIND = { audio: 1, metadata: 4, error: 5 };
const ENDED = 1000;
const POLICY = 1008;
const FAILED = 1011;
const TRY_AGAIN = 1013;
const SUBPROTOCOL = "coda";
const PATIENCE_S = 600; // a server that is restarted has its model to load
const RETRY_S = [0.3, 0.6, 1.2, 2.5, 4, 6];

const address = (base, path, parameters) => {
  const url = new URL(path, base);
  url.protocol = url.protocol.replace("http", "ws");
  url.search = new URLSearchParams(parameters);
  return url;
};

export class Session {
  // `base` is the page's address. `on` has a function for each of: state(name, words), audio(Int16Array),
  // event(object).
  constructor(base, token, on) {
    this.base = base;
    this.token = token;
    this.on = on;
    this.facts = null;
    this.ended = false;
    this.tries = 0;
    this.ready = false;
    this.orders = new Map();
    this.lastOrder = 0;
    this.errorText = "";
    this.connect();
  }

  connect() {
    const parameters = { codec: "pcm", metadata: "1" };
    if (this.facts) parameters.conversation = this.facts.conversation;
    const token = this.facts?.resume_token ?? this.token;
    if (token) parameters.auth = "message";
    this.errorText = "";
    const chat = new WebSocket(address(this.base, "api/chat", parameters), SUBPROTOCOL);
    chat.binaryType = "arraybuffer";
    chat.onopen = () => {
      if (token) chat.send(message(KIND.metadata, JSON.stringify({ token })));
    };
    chat.onmessage = ({ data }) => this.take(new Uint8Array(data));
    chat.onclose = (event) => this.closed(event);
    this.chat = chat;
  }

  take(data) {
    const payload = data.subarray(1);
    switch (data[0]) {
      case KIND.audio:
        this.on.audio(new Int16Array(payload.slice().buffer));
        break;
      case KIND.metadata:
        this.facts = JSON.parse(new TextDecoder().decode(payload));
        this.ready = true;
        this.brokenSince = undefined;
        this.tries = 0;
        this.on.state("live", this.facts.resumed ? "Connected again." : "Talk: Moshi is listening.");
        this.listen();
        break;
      case KIND.error:
        this.errorText = new TextDecoder().decode(payload);
        break;
    }
  }

  // Words, gaps and commands travel beside the audio.
  listen() {
    this.events?.close();
    const parameters = { conversation: this.facts.conversation, auth: "message" };
    const events = new WebSocket(address(this.base, "api/events", parameters), SUBPROTOCOL);
    events.onopen = () => events.send(JSON.stringify({ token: this.facts.resume_token }));
    events.onmessage = ({ data }) => {
      const event = JSON.parse(data);
      if (event.type === "reply") {
        this.orders.get(event.id)?.(event);
        this.orders.delete(event.id);
      } else {
        this.on.event(event);
      }
    };
    events.onclose = () => {
      for (const answer of this.orders.values()) answer({ ok: false, error: "the connection broke" });
      this.orders.clear();
    };
    this.events = events;
  }

  // False where the frame could not be sent.
  send(samples) {
    if (!this.ready || this.chat.readyState !== WebSocket.OPEN) return false;
    this.chat.send(message(KIND.audio, new Uint8Array(samples.buffer)));
    return true;
  }

  // Resolves to the server's reply.
  order(command, fields = {}) {
    if (this.events?.readyState !== WebSocket.OPEN) return Promise.resolve({ ok: false, error: "there is no connection" });
    const id = ++this.lastOrder;
    return new Promise((resolve) => {
      this.orders.set(id, resolve);
      this.events.send(JSON.stringify({ id, command, ...fields }));
    });
  }

  async end() {
    this.ended = true;
    clearTimeout(this.timer);
    if (this.chat.readyState === WebSocket.OPEN) await this.order("close");
    this.chat.close(ENDED);
    this.events?.close(ENDED);
  }

  closed({ code, reason }) {
    this.ready = false;
    const why = this.errorText || reason;
    if (this.ended) return;
    const again = this.facts && code !== ENDED && code !== POLICY && code !== FAILED;
    if (again && this.waited() < PATIENCE_S) {
      const wait = RETRY_S[Math.min(this.tries++, RETRY_S.length - 1)];
      this.on.state("reconnecting", "The connection broke. Trying to come back to the conversation…");
      this.timer = setTimeout(() => this.connect(), 1000 * wait);
      return;
    }
    this.ended = true;
    this.events?.close();
    this.on.state(code === ENDED ? "ended" : "failed", this.explain(code, why));
  }

  waited() {
    this.brokenSince ??= performance.now();
    return (performance.now() - this.brokenSince) / 1000;
  }

  explain(code, why) {
    if (code === ENDED) return "The conversation has ended.";
    if (code === TRY_AGAIN) return `All places are taken at the moment. Try again in a little while. The server says: ${why}.`;
    if (code === POLICY && /token/.test(why)) {
      return this.facts
        ? "The server no longer knows this conversation. Press Start for a new one."
        : this.token
          ? "The server does not accept this token. Check it below, then press Start."
          : "The server asks for a token. Enter it below, then press Start.";
    }
    if (code === POLICY || code === FAILED) return `The server ended the conversation: ${why || "it did not say why"}.`;
    return this.facts
      ? "The connection is lost, and the server did not come back. Press Start for a new conversation."
      : "The server cannot be reached. Is it running? Press Start to try again.";
  }
}

function message(kind, payload) {
  const bytes = typeof payload === "string" ? new TextEncoder().encode(payload) : payload;
  const whole = new Uint8Array(1 + bytes.length);
  whole[0] = kind;
  whole.set(bytes, 1);
  return whole;
}
