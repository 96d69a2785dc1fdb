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
    // Returns the element that shows the current frame, or null where there is none.
    picture() {
      if (this.broken || this.place(now) < 0) return null;
      const media = this.media;
      if (this.isVideo) return media.readyState >= 2 ? media : null;
      return media.complete && media.naturalWidth ? media : null;
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

  const players = data.tracks.map((track) => new Player(track));
  const comparison = makeComparison(players, data.cutouts, data.certainties);
  const canvas = document.getElementById("compare");
  function draw() {
    comparison.draw();
    if (canvas) canvas.dataset.frame = String(now + timeline.first);
  }
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
    ...comparison.keys,
  };
  // With Shift, the arrows move the zoomed comparison.
  const LOOK = {
    ArrowLeft: [-0.1, 0],
    ArrowRight: [0.1, 0],
    ArrowUp: [0, -0.1],
    ArrowDown: [0, 0.1],
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
    if (event.shiftKey && LOOK[event.key] && comparison.isZoomed && comparison.isZoomed()) {
      event.preventDefault();
      return comparison.look(...LOOK[event.key]);
    }
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

  // Sound: that of one player at a time.
  const soundButton = document.getElementById("sound");
  const listenButtons = [...document.querySelectorAll("[data-listen]")];
  let heard = -1, lastHeard = players.findIndex((player) => player.sound);
  function listenTo(place) {
    heard = place;
    if (place >= 0) lastHeard = place;
    players.forEach((player, k) => { if (player.isVideo) player.media.muted = k !== heard; });
    for (const button of listenButtons) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.listen) === heard));
    }
    if (soundButton) soundButton.setAttribute("aria-pressed", String(heard >= 0));
  }
  const toggleSound = () => listenTo(heard >= 0 ? -1 : lastHeard);
  if (soundButton) {
    soundButton.addEventListener("click", toggleSound);
    keys.m = toggleSound;
  }
  for (const button of listenButtons) {
    const place = Number(button.dataset.listen);
    button.addEventListener("click", () => listenTo(heard === place ? -1 : place));
  }

  for (const player of players) {
    if (!player.isVideo && !player.media.complete) {
      player.media.addEventListener("load", draw, { once: true });
    }
  }
  goTo(data.begin - timeline.first);
  document.body.dataset.ready = "yes";
})();
