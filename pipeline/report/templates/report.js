"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const line = data.timeline;
  const last = line.count - 1;
  const clamp = (value, least, most) => Math.min(most, Math.max(least, value));

  // The clip's clock: seconds from the first frame, whose number is line.first; n counts from 0.
  const timeOf = (n) => (line.step !== null ? n * line.step : line.times[n]);
  const lengthOf = (n) => (last === 0 ? 1 / 25 : n < last ? timeOf(n + 1) - timeOf(n) : timeOf(last) - timeOf(last - 1));
  const total = timeOf(last) + lengthOf(last);
  const frameAt = (time) => {
    if (line.step !== null) return clamp(Math.floor(time / line.step + 1e-6), 0, last);
    let low = 0, high = last;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (line.times[middle] <= time + 1e-6) low = middle; else high = middle - 1;
    }
    return low;
  };

  let now = 0; // the frame that is shown, from 0
  let clock = 0, before = 0, playing = false, speed = 1;
  // Up to this speed the players are sent from frame to frame; browsers play no slower than a sixteenth, and not evenly there.
  const SLOW = 0.25;

  class Track {
    constructor(about) {
      Object.assign(this, about);
      this.box = document.getElementById("player-" + about.slug);
      this.media = this.box.querySelector(".live");
      this.count = about.spans.reduce((sum, [first, final]) => sum + final - first + 1, 0);
      this.pending = null;
      this.files = new Map();
      if (!this.isVideo) return;
      const video = this.media;
      video.muted = true;
      video.addEventListener("loadedmetadata", () => this.settle());
      video.addEventListener("loadeddata", draw);
      video.addEventListener("seeked", () => this.settle());
      video.addEventListener("error", () => {
        this.box.classList.add("is-away");
        this.box.querySelector(".away").textContent = "This browser cannot play it, or the file is not beside the page.";
        this.broken = true;
      });
    }
    get isVideo() { return this.media instanceof HTMLVideoElement; }
    // The place in the file of the clip's frame n, or -1.
    place(n) {
      const frame = n + line.first;
      let at = 0;
      for (const [first, final] of this.spans) {
        if (frame >= first && frame <= final) return at + frame - first;
        at += final - first + 1;
      }
      return -1;
    }
    start(i) { return this.step !== null ? i * this.step : this.times[i]; }
    length(i) { return this.step !== null ? this.step : i < this.count - 1 ? this.times[i + 1] - this.times[i] : this.times[i] - (this.times[i - 1] || 0); }
    seek(to) {
      const video = this.media;
      if (video.readyState < 1 || video.seeking) this.pending = to;
      else if (Math.abs(video.currentTime - to) > 1e-4) video.currentTime = to;
      else draw();
    }
    settle() {
      const to = this.pending;
      this.pending = null;
      if (to !== null && Math.abs(this.media.currentTime - to) > 1e-4) this.media.currentTime = to;
      else draw();
    }
    away(is) { if (!this.broken) this.box.classList.toggle("is-away", is); }
    // Stands still at frame n: in the middle of it, so that no rounding shows its neighbour.
    show(n) {
      const i = this.place(n);
      this.away(i < 0);
      if (!this.isVideo) return this.turn(n);
      if (!this.media.paused) this.media.pause();
      if (i >= 0) this.seek(this.start(i) + this.length(i) / 2);
    }
    turn(n) {
      const frame = n + line.first;
      const found = this.pictures.find(([[first, final]]) => frame >= first && frame <= final);
      if (found && this.media.getAttribute("src") !== found[1]) {
        this.media.addEventListener("load", draw, { once: true });
        this.media.src = found[1];
      }
    }
    // Whether the clock has to wait for it.
    holds(n) {
      const i = this.place(n);
      if (!this.isVideo || i < 0 || this.broken) return false;
      const video = this.media;
      if (video.seeking || video.readyState < (i < this.count - 3 ? 3 : 2)) return true;
      return speed > SLOW && video.paused && i < this.count - 1;
    }
    // Goes along with the clock; at the rate 0 it is under way, and waits with the others.
    follow(n, waits) {
      const i = this.place(n);
      this.away(i < 0);
      if (!this.isVideo) return this.turn(n);
      const video = this.media;
      if (video.seeking || this.broken) return;
      const coming = i < 0 && this.spans.length && n + line.first < this.spans[0][0];
      if (i < 0 && !coming) return video.pause();
      const want = coming ? 0 : this.start(i) + clamp(clock - timeOf(n), 0, this.length(i));
      const drift = video.currentTime - want, long = this.length(coming ? 0 : i);
      if (i >= this.count - 1) return Math.abs(drift) > long / 2 ? this.seek(this.start(i) + long / 2) : undefined;
      if (Math.abs(drift) > (video.paused || waits ? long / 2 : Math.max(0.2, 2 * long))) return this.seek(want + long / 100);
      // What is off goes within some tenths of a second at any speed.
      const rate = coming || waits ? 0 : Math.abs(drift) < long / 8 ? speed : clamp(speed - 8 * drift, speed / 2, 2 * speed);
      if (video.playbackRate !== rate) video.playbackRate = rate;
      if (video.paused) video.play().catch(() => {});
    }
  }

  // Before and after.
  const canvas = document.getElementById("compare");
  const divide = document.getElementById("divide");
  const sides = [document.getElementById("left"), document.getElementById("right")];
  function picture(track) {
    if (track.broken || track.place(now) < 0) return null;
    if (track.isVideo) return track.media.readyState >= 2 ? track.media : null;
    return track.media.complete && track.media.naturalWidth ? track.media : null;
  }
  function draw() {
    if (!canvas) return;
    const [left, right] = sides.map((side) => tracks[Number(side.value)]);
    const shown = [left, right].map(picture);
    const some = shown[0] || shown[1];
    if (some) {
      const wide = some.videoWidth || some.naturalWidth, high = some.videoHeight || some.naturalHeight;
      const scale = Math.min(1, 1600 / Math.max(wide, high)) * (Math.max(wide, high) < 640 ? 640 / Math.max(wide, high) : 1);
      const size = [Math.max(1, Math.round(wide * scale)), Math.max(1, Math.round(high * scale))];
      if (canvas.width !== size[0] || canvas.height !== size[1]) {
        [canvas.width, canvas.height] = size;
        canvas.style.setProperty("--aspect", String(size[0] / size[1]));
      }
    }
    const pen = canvas.getContext("2d");
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const edge = Math.round(canvas.width * Number(divide.value) / 1000);
    [[0, edge], [edge, canvas.width]].forEach(([from, to], k) => {
      pen.save();
      pen.beginPath();
      pen.rect(from, 0, to - from, canvas.height);
      pen.clip();
      pen.fillStyle = colour("--well");
      pen.fillRect(from, 0, to - from, canvas.height);
      if (shown[k]) pen.drawImage(shown[k], 0, 0, canvas.width, canvas.height);
      const unit = canvas.width / Math.max(1, canvas.clientWidth || canvas.width);
      const name = [left, right][k].name + (shown[k] ? "" : ": not in this frame");
      pen.font = `600 ${13 * unit}px system-ui, sans-serif`;
      pen.textAlign = k ? "right" : "left";
      const x = k ? canvas.width - 12 * unit : 12 * unit, width = pen.measureText(name).width + 12 * unit;
      pen.fillStyle = "rgba(0, 0, 0, 0.55)";
      pen.fillRect(k ? canvas.width - 6 * unit - width : 6 * unit, 8 * unit, width, 22 * unit);
      pen.fillStyle = "#fff";
      pen.fillText(name, x, 23.5 * unit);
      pen.restore();
    });
    const thick = 2 * canvas.width / Math.max(1, canvas.clientWidth || canvas.width);
    pen.fillStyle = "#fff";
    pen.fillRect(edge - thick / 2, 0, thick, canvas.height);
    pen.beginPath();
    pen.arc(edge, canvas.height / 2, 6 * thick, 0, 7);
    pen.fill();
    canvas.dataset.frame = String(now + line.first);
  }

  const tracks = data.tracks.map((about) => new Track(about));
  const scrub = document.getElementById("scrub");
  const told = document.getElementById("told");
  const toggle = document.getElementById("toggle");
  const heads = [...document.querySelectorAll(".playhead")];
  const head = document.querySelector(".head");

  function paint() {
    const frame = now + line.first;
    if (scrub) {
      scrub.value = String(frame);
      const time = data.moving ? `, ${timeOf(now).toFixed(2)} s` : "";
      told.textContent = `${data.moving ? "frame" : "picture"} ${data.moving ? frame : frame + 1}${time}`;
      scrub.setAttribute("aria-valuetext", told.textContent);
    }
    for (const each of heads) {
      const first = Number(each.dataset.first), count = Number(each.dataset.count);
      const inside = frame >= first && frame < first + count;
      each.classList.toggle("on", inside);
      if (inside) for (const end of ["x1", "x2"]) each.setAttribute(end, `${(100 * (frame - first + 0.5)) / count}%`);
    }
    if (head) head.style.left = `calc(${(100 * (now + 0.5)) / line.count}% - 1px)`;
    document.body.dataset.frame = String(frame);
  }
  function go(n) {
    now = clamp(Math.round(n), 0, last);
    clock = timeOf(now);
    for (const track of tracks) track.show(now);
    paint();
    draw();
  }
  function stop() {
    if (playing) set(false);
  }
  function set(on) {
    playing = on && data.moving;
    document.body.classList.toggle("playing", playing);
    if (toggle) toggle.setAttribute("aria-label", playing ? "Pause" : "Play");
    if (!playing) return go(now);
    if (now >= last) go(0);
    // The players stand in the middle of a frame.
    clock = timeOf(now) + lengthOf(now) / 2;
    before = performance.now();
    requestAnimationFrame(tick);
  }
  function tick() {
    if (!playing) return;
    // Not the time that the browser gives, at which this should have been called: the players did not wait.
    const at = performance.now(), passed = clamp((at - before) / 1000, 0, 0.25);
    before = at;
    const waits = tracks.some((track) => track.holds(now)), shown = now;
    if (!waits) clock += passed * speed;
    if (clock >= total) {
      now = last;
      return set(false);
    }
    now = frameAt(clock);
    for (const track of tracks) if (speed > SLOW) track.follow(now, waits); else if (now !== shown) track.show(now);
    paint();
    draw();
    requestAnimationFrame(tick);
  }

  // What is pressed and dragged.
  const jumps = data.jumps.map((frame) => frame - line.first);
  const keys = {
    " ": () => set(!playing), k: () => set(!playing),
    ArrowLeft: () => { stop(); go(now - 1); }, ArrowRight: () => { stop(); go(now + 1); },
    j: () => { stop(); go(now - 10); }, l: () => { stop(); go(now + 10); },
    Home: () => { stop(); go(0); }, End: () => { stop(); go(last); },
    "[": () => { stop(); go([...jumps].reverse().find((n) => n < now) ?? 0); }, "]": () => { stop(); go(jumps.find((n) => n > now) ?? last); },
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const on = event.target;
    const own = on instanceof HTMLSelectElement || (on.id === "divide" && event.key !== " ") || (on instanceof HTMLInputElement && on.type !== "range");
    if (own || (event.key === " " && (on instanceof HTMLButtonElement || on instanceof HTMLAnchorElement))) return;
    const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  if (scrub) scrub.addEventListener("input", () => { stop(); go(Number(scrub.value) - line.first); });
  if (toggle) toggle.addEventListener("click", () => set(!playing));
  for (const button of document.querySelectorAll("[data-by]")) button.addEventListener("click", () => { stop(); go(now + Number(button.dataset.by)); });
  for (const button of document.querySelectorAll("[data-to]")) button.addEventListener("click", () => { stop(); go(Number(button.dataset.to) - line.first); });
  const pace = document.getElementById("speed");
  if (pace) pace.addEventListener("change", () => { speed = Number(pace.value); });
  const whole = document.querySelector(".whole");
  if (whole) whole.addEventListener("click", (event) => {
    const box = whole.getBoundingClientRect();
    stop();
    go(Math.floor(((event.clientX - box.left) / box.width) * line.count));
  });
  if (canvas) {
    divide.addEventListener("input", draw);
    for (const side of sides) side.addEventListener("change", draw);
    const frame = canvas.parentElement;
    const drag = (event) => {
      const box = canvas.getBoundingClientRect();
      divide.value = String(Math.round(clamp((event.clientX - box.left) / box.width, 0, 1) * 1000));
      draw();
    };
    frame.addEventListener("pointerdown", (event) => { frame.setPointerCapture(event.pointerId); drag(event); });
    frame.addEventListener("pointermove", (event) => { if (frame.hasPointerCapture(event.pointerId)) drag(event); });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    addEventListener("resize", draw);
  }
  for (const track of tracks) if (!track.isVideo && !track.media.complete) track.media.addEventListener("load", draw, { once: true });
  go(data.begin - line.first);
  document.body.dataset.ready = "yes";
})();
