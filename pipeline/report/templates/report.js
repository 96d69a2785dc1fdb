"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const timeline = data.timeline;
  const last = timeline.count - 1;
  const clamp = (value, least, most) => Math.min(most, Math.max(least, value));

  // In this script frames count from 0, where frame 0 is the input's frame timeline.first.
  // Times are in seconds from the first frame.
  const timeOf = (n) => (timeline.step !== null ? n * timeline.step : timeline.times[n]);
  const lengthOf = (n) => {
    if (last === 0) return 1 / 25;
    return n < last ? timeOf(n + 1) - timeOf(n) : timeOf(last) - timeOf(last - 1);
  };
  const total = timeOf(last) + lengthOf(last);
  const frameAt = (time) => {
    if (timeline.step !== null) return clamp(Math.floor(time / timeline.step + 1e-6), 0, last);
    let low = 0, high = last;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (timeline.times[middle] <= time + 1e-6) low = middle; else high = middle - 1;
    }
    return low;
  };

  let now = 0; // the frame that is shown
  let clock = 0, before = 0, playing = false, speed = 1;
  // Up to this speed players seek from frame to frame: browsers play very slow videos unevenly.
  const SLOW = 0.25;

  class Player {
    constructor(track) {
      Object.assign(this, track);
      this.box = document.getElementById("player-" + track.slug);
      this.media = this.box.querySelector(".live");
      this.count = track.spans.reduce((sum, [first, final]) => sum + final - first + 1, 0);
      this.pending = null;
      if (!this.isVideo) return;
      const video = this.media;
      video.muted = true;
      video.addEventListener("loadedmetadata", () => this.finishSeek());
      video.addEventListener("loadeddata", draw);
      video.addEventListener("seeked", () => this.finishSeek());
      video.addEventListener("error", () => {
        this.box.classList.add("is-away");
        this.box.querySelector(".away").textContent =
          "This browser cannot play the video, or the file is not beside the page.";
        this.broken = true;
      });
    }
    get isVideo() { return this.media instanceof HTMLVideoElement; }
    // Returns the place of frame n in the file, or -1.
    place(n) {
      const frame = n + timeline.first;
      let at = 0;
      for (const [first, final] of this.spans) {
        if (frame >= first && frame <= final) return at + frame - first;
        at += final - first + 1;
      }
      return -1;
    }
    start(i) { return this.step !== null ? i * this.step : this.times[i]; }
    length(i) {
      if (this.step !== null) return this.step;
      if (i < this.count - 1) return this.times[i + 1] - this.times[i];
      return this.times[i] - (this.times[i - 1] || 0);
    }
    seek(to) {
      const video = this.media;
      if (video.readyState < 1 || video.seeking) this.pending = to;
      else if (Math.abs(video.currentTime - to) > 1e-4) video.currentTime = to;
      else draw();
    }
    finishSeek() {
      const to = this.pending;
      this.pending = null;
      if (to !== null && Math.abs(this.media.currentTime - to) > 1e-4) this.media.currentTime = to;
      else draw();
    }
    setAway(away) { if (!this.broken) this.box.classList.toggle("is-away", away); }
    // Stands still at frame n: in the middle of it, so that rounding never shows a neighbour.
    show(n) {
      const i = this.place(n);
      this.setAway(i < 0);
      if (!this.isVideo) return this.showPicture(n);
      if (!this.media.paused) this.media.pause();
      if (i >= 0) this.seek(this.start(i) + this.length(i) / 2);
    }
    showPicture(n) {
      const frame = n + timeline.first;
      const found = this.pictures.find(([[first, final]]) => frame >= first && frame <= final);
      if (found && this.media.getAttribute("src") !== found[1]) {
        this.media.addEventListener("load", draw, { once: true });
        this.media.src = found[1];
      }
    }
    // Returns whether the clock has to wait for this player.
    isLate(n) {
      const i = this.place(n);
      if (!this.isVideo || i < 0 || this.broken) return false;
      const video = this.media;
      if (video.seeking || video.readyState < (i < this.count - 3 ? 3 : 2)) return true;
      return speed > SLOW && video.paused && i < this.count - 1;
    }
    // Follows the clock. While another player is late it runs at the rate 0.
    follow(n, isWaiting) {
      const i = this.place(n);
      this.setAway(i < 0);
      if (!this.isVideo) return this.showPicture(n);
      const video = this.media;
      if (video.seeking || this.broken) return;
      const isAhead = i < 0 && this.spans.length && n + timeline.first < this.spans[0][0];
      if (i < 0 && !isAhead) return video.pause();
      const want = isAhead ? 0 : this.start(i) + clamp(clock - timeOf(n), 0, this.length(i));
      const drift = video.currentTime - want, length = this.length(isAhead ? 0 : i);
      if (i >= this.count - 1) {
        if (Math.abs(drift) > length / 2) this.seek(this.start(i) + length / 2);
        return;
      }
      const tolerance = video.paused || isWaiting ? length / 2 : Math.max(0.2, 2 * length);
      if (Math.abs(drift) > tolerance) return this.seek(want + length / 100);
      // At any speed, drift is corrected within some tenths of a second.
      let rate = clamp(speed - 8 * drift, speed / 2, 2 * speed);
      if (Math.abs(drift) < length / 8) rate = speed;
      if (isAhead || isWaiting) rate = 0;
      if (video.playbackRate !== rate) video.playbackRate = rate;
      if (video.paused) video.play().catch(() => {});
    }
  }

  // The comparison of two pictures, split at the slider.
  const canvas = document.getElementById("compare");
  const divide = document.getElementById("divide");
  const sides = [document.getElementById("left"), document.getElementById("right")];
  function picture(player) {
    if (player.broken || player.place(now) < 0) return null;
    if (player.isVideo) return player.media.readyState >= 2 ? player.media : null;
    return player.media.complete && player.media.naturalWidth ? player.media : null;
  }
  function fitCanvas(shown) {
    const width = shown.videoWidth || shown.naturalWidth;
    const height = shown.videoHeight || shown.naturalHeight;
    const longest = Math.max(width, height);
    const scale = Math.min(1, 1600 / longest) * (longest < 640 ? 640 / longest : 1);
    const size = [width, height].map((side) => Math.max(1, Math.round(side * scale)));
    if (canvas.width !== size[0] || canvas.height !== size[1]) {
      [canvas.width, canvas.height] = size;
      canvas.style.setProperty("--aspect", String(size[0] / size[1]));
    }
  }
  function draw() {
    if (!canvas) return;
    const pair = sides.map((side) => players[Number(side.value)]);
    const shown = pair.map(picture);
    const some = shown[0] || shown[1];
    if (some) fitCanvas(some);
    const pen = canvas.getContext("2d");
    const style = getComputedStyle(document.documentElement);
    const edge = Math.round(canvas.width * Number(divide.value) / 1000);
    const unit = canvas.width / Math.max(1, canvas.clientWidth || canvas.width);
    [[0, edge], [edge, canvas.width]].forEach(([from, to], k) => {
      pen.save();
      pen.beginPath();
      pen.rect(from, 0, to - from, canvas.height);
      pen.clip();
      pen.fillStyle = style.getPropertyValue("--well").trim();
      pen.fillRect(from, 0, to - from, canvas.height);
      if (shown[k]) pen.drawImage(shown[k], 0, 0, canvas.width, canvas.height);
      const name = pair[k].name + (shown[k] ? "" : ": not visible in this frame");
      pen.font = `600 ${13 * unit}px system-ui, sans-serif`;
      pen.textAlign = k ? "right" : "left";
      const x = k ? canvas.width - 12 * unit : 12 * unit;
      const width = pen.measureText(name).width + 12 * unit;
      pen.fillStyle = "rgba(0, 0, 0, 0.55)";
      pen.fillRect(k ? canvas.width - 6 * unit - width : 6 * unit, 8 * unit, width, 22 * unit);
      pen.fillStyle = "#fff";
      pen.fillText(name, x, 23.5 * unit);
      pen.restore();
    });
    const thick = 2 * unit;
    pen.fillStyle = "#fff";
    pen.fillRect(edge - thick / 2, 0, thick, canvas.height);
    pen.beginPath();
    pen.arc(edge, canvas.height / 2, 6 * thick, 0, 7);
    pen.fill();
    canvas.dataset.frame = String(now + timeline.first);
  }

  const players = data.tracks.map((track) => new Player(track));
  const scrub = document.getElementById("scrub");
  const position = document.getElementById("position");
  const toggle = document.getElementById("toggle");
  const playheads = [...document.querySelectorAll(".playhead")];
  const head = document.querySelector(".head");

  // Updates the slider, its text and the playheads.
  function update() {
    const frame = now + timeline.first;
    if (scrub) {
      scrub.value = String(frame);
      const time = data.moving ? `, ${timeOf(now).toFixed(2)} s` : "";
      const number = data.moving ? `frame ${frame}` : `picture ${frame + 1}`;
      position.textContent = number + time;
      scrub.setAttribute("aria-valuetext", position.textContent);
    }
    for (const each of playheads) {
      const first = Number(each.dataset.first), count = Number(each.dataset.count);
      const inside = frame >= first && frame < first + count;
      each.classList.toggle("on", inside);
      const x = `${(100 * (frame - first + 0.5)) / count}%`;
      if (inside) for (const end of ["x1", "x2"]) each.setAttribute(end, x);
    }
    if (head) head.style.left = `calc(${(100 * (now + 0.5)) / timeline.count}% - 1px)`;
    document.body.dataset.frame = String(frame);
  }
  function goTo(n) {
    now = clamp(Math.round(n), 0, last);
    clock = timeOf(now);
    for (const player of players) player.show(now);
    update();
    draw();
  }
  function stopAt(n) {
    if (playing) setPlaying(false);
    goTo(n);
  }
  function setPlaying(on) {
    playing = on && data.moving;
    document.body.classList.toggle("playing", playing);
    if (toggle) toggle.setAttribute("aria-label", playing ? "Pause" : "Play");
    if (!playing) return goTo(now);
    if (now >= last) goTo(0);
    // The players stand in the middle of a frame.
    clock = timeOf(now) + lengthOf(now) / 2;
    before = performance.now();
    requestAnimationFrame(tick);
  }
  function tick() {
    if (!playing) return;
    // The time the browser passes says when this call was due; the players did not wait for it.
    const at = performance.now(), passed = clamp((at - before) / 1000, 0, 0.25);
    before = at;
    const isWaiting = players.some((player) => player.isLate(now)), shown = now;
    if (!isWaiting) clock += passed * speed;
    if (clock >= total) {
      now = last;
      return setPlaying(false);
    }
    now = frameAt(clock);
    for (const player of players) {
      if (speed > SLOW) player.follow(now, isWaiting);
      else if (now !== shown) player.show(now);
    }
    update();
    draw();
    requestAnimationFrame(tick);
  }

  // Keys, buttons, sliders.
  const jumps = data.jumps.map((frame) => frame - timeline.first);
  const keys = {
    " ": () => setPlaying(!playing),
    k: () => setPlaying(!playing),
    ArrowLeft: () => stopAt(now - 1),
    ArrowRight: () => stopAt(now + 1),
    j: () => stopAt(now - 10),
    l: () => stopAt(now + 10),
    Home: () => stopAt(0),
    End: () => stopAt(last),
    "[": () => stopAt([...jumps].reverse().find((n) => n < now) ?? 0),
    "]": () => stopAt(jumps.find((n) => n > now) ?? last),
  };
  // Returns whether the focused element handles the key itself.
  function handlesKey(element, key) {
    if (element instanceof HTMLSelectElement) return true;
    if (element.id === "divide" && key !== " ") return true;
    if (element instanceof HTMLInputElement && element.type !== "range") return true;
    const isClickable =
      element instanceof HTMLButtonElement || element instanceof HTMLAnchorElement;
    return key === " " && isClickable;
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (handlesKey(event.target, event.key)) return;
    const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  if (scrub) scrub.addEventListener("input", () => stopAt(Number(scrub.value) - timeline.first));
  if (toggle) toggle.addEventListener("click", () => setPlaying(!playing));
  for (const button of document.querySelectorAll("[data-by]")) {
    button.addEventListener("click", () => stopAt(now + Number(button.dataset.by)));
  }
  for (const button of document.querySelectorAll("[data-to]")) {
    button.addEventListener("click", () => stopAt(Number(button.dataset.to) - timeline.first));
  }
  const speedMenu = document.getElementById("speed");
  if (speedMenu) speedMenu.addEventListener("change", () => { speed = Number(speedMenu.value); });
  const whole = document.querySelector(".whole");
  if (whole) whole.addEventListener("click", (event) => {
    const box = whole.getBoundingClientRect();
    stopAt(Math.floor(((event.clientX - box.left) / box.width) * timeline.count));
  });
  if (canvas) {
    divide.addEventListener("input", draw);
    for (const side of sides) side.addEventListener("change", draw);
    const frame = canvas.parentElement;
    const drag = (event) => {
      const box = canvas.getBoundingClientRect();
      const part = clamp((event.clientX - box.left) / box.width, 0, 1);
      divide.value = String(Math.round(part * 1000));
      draw();
    };
    frame.addEventListener("pointerdown", (event) => {
      frame.setPointerCapture(event.pointerId);
      drag(event);
    });
    frame.addEventListener("pointermove", (event) => {
      if (frame.hasPointerCapture(event.pointerId)) drag(event);
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    addEventListener("resize", draw);
  }
  for (const player of players) {
    if (!player.isVideo && !player.media.complete) {
      player.media.addEventListener("load", draw, { once: true });
    }
  }
  goTo(data.begin - timeline.first);
  document.body.dataset.ready = "yes";
})();
