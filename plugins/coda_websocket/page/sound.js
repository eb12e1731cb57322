// The microphone and the loudspeaker.

const RATE = 24000;

export class NoMicrophone extends Error {}
export class Unreachable extends Error {}

export class Sound {
  // Each function gets reports: a peak and a level, 25 times a second; `onPlayed` also what the jitter buffer does.
  constructor(onHeard, onPlayed) {
    this.onHeard = onHeard;
    this.onPlayed = onPlayed;
  }

  // Returns two ports: blocks from the microphone come out of the first, the second takes what is to be played.
  async open(device) {
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({
        audio: {
          deviceId: device ? { exact: device } : undefined,
          channelCount: 1,
          echoCancellation: true,
          noiseSuppression: true,
          autoGainControl: true,
        },
      });
    } catch (error) {
      throw new NoMicrophone(explain(error));
    }
    try {
      this.input = new AudioContext({ latencyHint: "interactive" });
      this.output = new AudioContext({ sampleRate: RATE, latencyHint: "interactive" });
      await Promise.all([
        this.input.audioWorklet.addModule("capture.js"),
        this.output.audioWorklet.addModule("playback.js"),
      ]);
      const capture = new AudioWorkletNode(this.input, "capture", { numberOfOutputs: 0 });
      capture.port.onmessage = ({ data }) => this.onHeard(data);
      this.input.createMediaStreamSource(this.stream).connect(capture);
      const playback = new AudioWorkletNode(this.output, "playback", { numberOfInputs: 0, outputChannelCount: [1] });
      playback.port.onmessage = ({ data }) => this.onPlayed(data);
      playback.connect(this.output.destination);
      await Promise.all([this.input.resume(), this.output.resume()]);
      return [capture, playback].map((node) => {
        const { port1, port2 } = new MessageChannel();
        node.port.postMessage(port1, [port1]);
        return port2;
      });
    } catch (error) {
      await this.close();
      // The worklets come from the server, like everything else here.
      throw error.name === "AbortError" ? new Unreachable() : error;
    }
  }

  async close() {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    await Promise.allSettled([this.input, this.output].map((context) => context?.close()));
  }
}

export async function microphones() {
  const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  return devices.filter((device) => device.kind === "audioinput" && device.label);
}

function explain(error) {
  switch (error.name) {
    case "NotAllowedError":
      return "The browser may not use the microphone. Allow it for this page (beside the address), then press Start.";
    case "NotFoundError":
    case "OverconstrainedError":
      return "No microphone was found. Plug one in, or choose another one below, then press Start.";
    case "NotReadableError":
      return "The microphone is in use by another program. Close that program, then press Start.";
    default:
      return window.isSecureContext
        ? `The microphone cannot be used: ${error.message}`
        : "Browsers give the microphone to secure pages only: open this one over https, or on the server itself.";
  }
}
