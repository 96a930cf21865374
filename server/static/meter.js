// How loud each side is right now, from 0 to 1, fifteen times a second.

const EVERY = 66; // ms between two looks; longer if the person asked for less motion
const EVERY_CALM = 300;
const QUIET = -60; // dBFS shown as nothing

function levelOf(samples) {
  const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
  const loudness = 10 * Math.log10(power + 1e-12);
  return Math.min(1, Math.max(0, 1 - loudness / QUIET));
}

export class Meters {
  #context = null;
  #ears = new Map();
  #timer = 0;

  constructor(show) {
    this.show = show; // (name, level)
  }

  // Must first be called from a click: browsers start no audio before a click.
  listen(name, stream) {
    this.silence(name);
    this.#context ??= new AudioContext();
    this.#context.resume();
    const source = this.#context.createMediaStreamSource(stream);
    const analyser = new AnalyserNode(this.#context, { fftSize: 1024 });
    source.connect(analyser);
    this.#ears.set(name, { source, analyser, samples: new Float32Array(analyser.fftSize) });
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.#timer ||= setInterval(() => this.#look(), calm ? EVERY_CALM : EVERY);
  }

  silence(name) {
    this.#ears.get(name)?.source.disconnect();
    this.#ears.delete(name);
    this.show(name, 0);
  }

  close() {
    for (const name of [...this.#ears.keys()]) this.silence(name);
    clearInterval(this.#timer);
    this.#timer = 0;
    this.#context?.close();
    this.#context = null;
  }

  #look() {
    for (const [name, { analyser, samples }] of this.#ears) {
      analyser.getFloatTimeDomainData(samples);
      this.show(name, levelOf(samples));
    }
  }
}
