"""The parts of a result's page that do not depend on the result: style, script and skeleton.

The script is plain JavaScript without a library, so that the page opens anywhere and for as long as there
are browsers.
"""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --ground: #fff; --ink: #1b1f24; --soft: #59636e; --line: #d1d9e0; --card: #f6f8fa;
  --blank: #dde2e8; --ink0: #0969da; --ink1: #d1242f; --ink2: #1a7f37; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #14181d; --ink: #e6edf3; --soft: #9aa5b1; --line: #333b44; --card: #1c2229;
    --blank: #4b545e; --ink0: #6cb6ff; --ink1: #ff7b72; --ink2: #56d364; }
}
body { margin: 0 auto; max-width: 1500px; padding: 1rem 1.5rem 3rem; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: .5rem 0; } h2 { font-size: 1.15rem; margin: 2rem 0 .6rem; }
p { margin: .3rem 0; } .soft { color: var(--soft); }
.verdict { border-left: 5px solid #888; padding: .4rem .8rem; background: var(--card); margin: .5rem 0; }
.verdict.good { border-color: #2da44e; } .verdict.poor { border-color: #cf222e; }
.maps { display: grid; grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); gap: 14px; }
figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: 8px; }
figcaption { display: flex; justify-content: space-between; gap: .5rem; font-size: .9rem; }
figcaption output { font-variant-numeric: tabular-nums; color: var(--soft); }
canvas { width: 100%; display: block; background: var(--blank); image-rendering: pixelated; touch-action: none; cursor: crosshair; }
canvas.scale { height: 12px; margin-top: 6px; cursor: default; }
.limits { display: flex; justify-content: space-between; font-size: .8rem; color: var(--soft); }
.tools { margin: .5rem 0; display: flex; flex-wrap: wrap; gap: .6rem; align-items: center; }
button, select, input { font: inherit; }
table { border-collapse: collapse; font-size: .9rem; width: 100%; }
td, th { border-bottom: 1px solid var(--line); padding: 3px 8px; text-align: left; vertical-align: top;
  overflow-wrap: anywhere; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: 24px; align-items: start; }
svg { width: 100%; height: auto; background: var(--card); border: 1px solid var(--line); border-radius: 6px; }
#profile svg { display: block; max-width: 760px; margin-top: 14px; }
svg text { fill: var(--soft); font: 15px system-ui, sans-serif; }
"""

SCRIPT = """
'use strict';
const PAGE = JSON.parse(document.getElementById('data').textContent);
const bytes = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
const BLANK = 65535;

class Panel {
  constructor(map) {
    Object.assign(this, map);
    this.codes = new Uint16Array(bytes(map.codes).buffer);
    this.colours = bytes(PAGE.colours[map.colours]);
    this.figure = document.createElement('figure');
    this.figure.innerHTML = '<figcaption><strong></strong><output></output></figcaption>' +
      '<canvas></canvas><canvas class="scale" width="256" height="1"></canvas>' +
      '<div class="limits"><span></span><span></span></div>';
    this.figure.querySelector('strong').textContent = map.title + (map.unit ? ` (${map.unit})` : '');
    [this.canvas, this.scale] = this.figure.querySelectorAll('canvas');
    this.canvas.dataset.title = map.title;
    this.output = this.figure.querySelector('output');
    this.paint();
  }
  value(row, column) {
    if (row < 0 || column < 0 || row >= this.rows || column >= this.columns) return NaN;
    const code = this.codes[row * this.columns + column];
    return code === BLANK ? NaN : this.low + (this.high - this.low) * code / (BLANK - 1);
  }
  paint() {
    this.image = new OffscreenCanvas(this.columns, this.rows);
    const context = this.image.getContext('2d'), picture = context.createImageData(this.columns, this.rows);
    const span = this.shownHigh - this.shownLow || 1;
    for (let i = 0; i < this.codes.length; i++) {
      const value = this.low + (this.high - this.low) * this.codes[i] / (BLANK - 1);
      const place = Math.max(0, Math.min(255, Math.round(255 * (value - this.shownLow) / span)));
      for (let c = 0; c < 3; c++) picture.data[4 * i + c] = this.colours[3 * place + c];
      picture.data[4 * i + 3] = this.codes[i] === BLANK ? 0 : 255;
    }
    context.putImageData(picture, 0, 0);
    const bar = this.scale.getContext('2d'), strip = bar.createImageData(256, 1);
    for (let i = 0; i < 256; i++) {
      for (let c = 0; c < 3; c++) strip.data[4 * i + c] = this.colours[3 * i + c];
      strip.data[4 * i + 3] = 255;
    }
    bar.putImageData(strip, 0, 0);
    const limits = this.figure.querySelectorAll('.limits span');
    limits[0].textContent = shown(this.shownLow); limits[1].textContent = shown(this.shownHigh);
  }
  draw(view, cursor, line) {
    const width = Math.max(200, this.canvas.clientWidth), height = Math.round(width * this.rows / this.columns);
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width; this.canvas.height = height;
    }
    const context = this.canvas.getContext('2d'), zoom = width / view.width;
    context.imageSmoothingEnabled = false;
    context.clearRect(0, 0, width, height);
    context.drawImage(this.image, -view.left * zoom, -view.top * zoom, this.columns * zoom, this.rows * zoom);
    const at = ([row, column]) => [(column + 0.5 - view.left) * zoom, (row + 0.5 - view.top) * zoom];
    context.lineWidth = 1.5;
    if (cursor) {
      const [x, y] = at(cursor);
      context.strokeStyle = 'rgba(0, 200, 255, 0.9)';
      context.beginPath();
      context.moveTo(x, 0); context.lineTo(x, height); context.moveTo(0, y); context.lineTo(width, y);
      context.stroke();
      const value = this.value(...cursor);
      this.output.textContent = Number.isNaN(value) ? '' : shown(value);
    }
    if (line) {
      context.strokeStyle = '#ff3b30';
      context.beginPath(); context.moveTo(...at(line[0])); context.lineTo(...at(line[1])); context.stroke();
    }
  }
}

const shown = value => Math.abs(value) >= 1e-3 && Math.abs(value) < 1e5 || value === 0
  ? String(+value.toPrecision(4)) : value.toExponential(2);

// the maps of one grid share view, cursor and line
class Group {
  constructor(name, maps) {
    this.panels = maps.map(map => new Panel(map));
    this.rows = maps[0].rows; this.columns = maps[0].columns;
    this.cursor = null; this.line = null;
    const home = document.getElementById(name);
    for (const panel of this.panels) { home.append(panel.figure); this.listen(panel.canvas); }
    this.reset();
    new ResizeObserver(() => this.draw()).observe(home);
  }
  reset() { this.view = {left: 0, top: 0, width: this.columns}; this.draw(); }
  draw() { for (const panel of this.panels) panel.draw(this.view, this.cursor, this.line); }
  pixel(canvas, event) {
    const box = canvas.getBoundingClientRect(), zoom = box.width / this.view.width;
    const column = Math.floor((event.clientX - box.left) / zoom + this.view.left);
    const row = Math.floor((event.clientY - box.top) / zoom + this.view.top);
    return [Math.max(0, Math.min(this.rows - 1, row)), Math.max(0, Math.min(this.columns - 1, column))];
  }
  listen(canvas) {
    let drag = null;
    canvas.addEventListener('wheel', event => {
      event.preventDefault();
      const box = canvas.getBoundingClientRect(), factor = Math.exp(event.deltaY * 0.002);
      const width = Math.max(8, Math.min(this.columns, this.view.width * factor));
      const across = (event.clientX - box.left) / box.width, down = (event.clientY - box.top) / box.width;
      this.move(this.view.left + across * (this.view.width - width),
                this.view.top + down * (this.view.width - width), width);
    }, {passive: false});
    canvas.addEventListener('pointerdown', event => {
      canvas.setPointerCapture(event.pointerId);
      drag = event.shiftKey ? {from: this.pixel(canvas, event)}
        : {x: event.clientX, y: event.clientY, left: this.view.left, top: this.view.top};
    });
    canvas.addEventListener('pointermove', event => {
      this.cursor = this.pixel(canvas, event);
      if (drag && drag.from) this.line = [drag.from, this.cursor];
      else if (drag) {
        const zoom = canvas.getBoundingClientRect().width / this.view.width;
        this.move(drag.left - (event.clientX - drag.x) / zoom, drag.top - (event.clientY - drag.y) / zoom,
                  this.view.width);
      }
      this.draw();
      if (this.line) this.profile();
    });
    canvas.addEventListener('pointerup', () => { drag = null; });
    canvas.addEventListener('dblclick', () => { this.line = null; this.reset(); this.profile(); });
  }
  move(left, top, width) {
    const height = width * this.rows / this.columns;
    this.view = {width, left: Math.max(0, Math.min(this.columns - width, left)),
                 top: Math.max(0, Math.min(this.rows - height, top))};
    this.draw();
  }
  profile() {
    const home = document.getElementById('profile');
    if (!home || !this.line || this !== groups.object) { if (home) home.innerHTML = ''; return; }
    const [[r0, c0], [r1, c1]] = this.line, steps = Math.max(2, Math.ceil(Math.hypot(r1 - r0, c1 - c0)) + 1);
    const chosen = this.panels[document.getElementById('profiled').value];
    const points = [];
    for (let i = 0; i < steps; i++) {
      const t = i / (steps - 1);
      points.push([Math.hypot(r1 - r0, c1 - c0) * t * PAGE.step,
                   chosen.value(Math.round(r0 + t * (r1 - r0)), Math.round(c0 + t * (c1 - c0)))]);
    }
    const unit = PAGE.pixel_size ? 'nm' : 'pixels', scale = PAGE.pixel_size ? PAGE.pixel_size * 1e9 : 1;
    curve(home, [{name: chosen.title, points: points.map(([x, y]) => [x * scale, y])}], `along the line (${unit})`);
  }
}

function curve(home, lines, label, logarithmic = false) {
  const W = 640, H = 320, L = 84, R = 30, B = 44, T = 28;
  const ys = y => logarithmic ? Math.log10(y) : y;
  const all = lines.flatMap(line => line.points).filter(([x, y]) => Number.isFinite(ys(y)));
  if (!all.length) { home.innerHTML = ''; return; }
  const [x0, x1] = [Math.min(...all.map(p => p[0])), Math.max(...all.map(p => p[0]))];
  let [y0, y1] = [Math.min(...all.map(p => ys(p[1]))), Math.max(...all.map(p => ys(p[1])))];
  if (y0 === y1) { y0 -= 1; y1 += 1; }
  const X = x => L + (W - L - R) * (x - x0) / (x1 - x0 || 1), Y = y => T + (H - B - T) * (y1 - ys(y)) / (y1 - y0);
  const parts = [];
  for (let i = 0; i <= 4; i++) {
    const y = y0 + (y1 - y0) * i / 4, x = x0 + (x1 - x0) * i / 4, height = T + (H - B - T) * (1 - i / 4);
    parts.push(`<line x1="${L}" x2="${W - R}" y1="${height}" y2="${height}" stroke="currentColor" opacity=".12"/>`,
      `<text x="${L - 6}" y="${height + 4}" text-anchor="end">${shown(logarithmic ? 10 ** y : y)}</text>`,
      `<text x="${X(x)}" y="${H - B + 18}" text-anchor="middle">${shown(x)}</text>`);
  }
  lines.forEach((line, n) => {
    const path = line.points.filter(([x, y]) => Number.isFinite(ys(y))).map(([x, y]) => `${X(x)},${Y(y)}`).join(' ');
    parts.push(`<polyline points="${path}" fill="none" style="stroke:var(--ink${n})" stroke-width="${3.5 - n}"/>`,
      `<text x="${L + 150 * n}" y="18" style="fill:var(--ink${n})">${line.name}</text>`);
  });
  parts.push(`<text x="${(L + W) / 2}" y="${H - 4}" text-anchor="middle">${label}</text>`);
  home.innerHTML = `<svg viewBox="0 0 ${W} ${H}">${parts.join('')}</svg>`;
}

function arrows(home) {
  const {recorded, refined} = PAGE.positions, W = 640;
  const all = recorded.concat(refined), most = axis => Math.max(...all.map(p => p[axis])), least = axis => Math.min(...all.map(p => p[axis]));
  const span = Math.max(most(0) - least(0), most(1) - least(1)) || 1, zoom = (W - 40) / span;
  const at = p => [20 + (p[1] - least(1)) * zoom, 20 + (p[0] - least(0)) * zoom];
  const far = recorded.map((p, i) => Math.hypot(refined[i][0] - p[0], refined[i][1] - p[1])).sort((a, b) => a - b);
  const longer = Math.max(1, span / Math.sqrt(recorded.length) / (2 * (far[Math.floor(0.95 * far.length)] || 1)));
  const parts = recorded.map((p, i) => {
    const [x, y] = at(p), [u, v] = [(refined[i][1] - p[1]) * zoom * longer, (refined[i][0] - p[0]) * zoom * longer];
    return `<circle cx="${x}" cy="${y}" r="2" fill="currentColor" opacity=".5"/>` +
      `<line x1="${x}" y1="${y}" x2="${x + u}" y2="${y + v}" style="stroke:var(--ink1)" stroke-width="1.8"/>`;
  });
  const height = 40 + (most(0) - least(0)) * zoom;
  home.innerHTML = `<svg viewBox="0 0 ${W} ${height}">${parts.join('')}</svg>` +
    `<p class="soft">from recorded to refined, drawn ${shown(longer)} times as long</p>`;
}

const groups = {};
for (const [name, maps] of Object.entries(PAGE.groups)) groups[name] = new Group(name, maps);
const profiled = document.getElementById('profiled');
groups.object.panels.forEach((panel, n) => profiled.append(new Option(panel.title, n)));
profiled.addEventListener('change', () => groups.object.profile());
document.getElementById('reset').addEventListener('click', () => {
  for (const group of Object.values(groups)) { group.line = null; group.cursor = null; group.reset(); }
  groups.object.profile();
});
curve(document.getElementById('losses'), PAGE.losses, 'sweeps', true);
if (PAGE.positions) arrows(document.getElementById('positions'));
document.getElementById('search').addEventListener('input', event => {
  const words = event.target.value.toLowerCase();
  for (const row of document.querySelectorAll('#settings tr')) row.hidden = !row.textContent.toLowerCase().includes(words);
});
"""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
{verdicts}
<div class="tools">
<button id="reset">Whole view</button>
<label>Profile of <select id="profiled"></select></label>
<span class="soft">Wheel: zoom. Drag: move. Shift and drag: a line. Double click: reset. All maps follow.</span>
</div>
<div id="object" class="maps"></div>
<div id="profile"></div>
{detector}
<div class="columns">
<section><h2>Losses</h2><div id="losses"></div></section>
{positions}
<section><h2>Quality</h2>{quality}<h2>How it was made</h2>{made}</section>
</div>
<h2>Settings</h2>
<p><input id="search" type="search" placeholder="a word"></p>
{settings}
<script id="data" type="application/json">{data}</script>
<script>{script}</script>
</body>
</html>
"""
