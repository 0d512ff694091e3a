'use strict';
(function () {
  var main = document.querySelector('main'), url = main.dataset.url;
  var said = document.getElementById('said'), help = document.getElementById('help');
  var wait = 4000; // to the next look; doubles to a minute

  function say(text) {
    if (said) said.textContent = text;
  }

  function ask(target, options) {
    var stop = new AbortController(), timer = setTimeout(function () { stop.abort(); }, 5000);
    options.signal = stop.signal;
    options.cache = 'no-store';
    options.credentials = 'omit';
    return fetch(target, options).finally(function () { clearTimeout(timer); });
  }

  // The device tells when its state has changed: then the page is made anew.
  function watch() {
    return ask('/.nameplate/status.json', {}).then(function (answer) {
      return answer.json();
    }).then(function (news) {
      if (news.state !== main.dataset.state) location.reload();
    }, function () {});
  }

  // Any answer at all means that the name was found and its certificate was accepted.
  function reach() {
    return ask(url + '.nameplate/alive', {mode: 'no-cors'}).then(function () {
      if (main.dataset.go) {
        say('The name opens. One moment\u2026');
        location.replace(url.slice(0, -1) + location.pathname + location.search + location.hash);
        return true;
      }
      say('The name opens in this browser.');
      return true;
    }, function () {
      say(main.dataset.go ? 'The name does not open in this browser yet, so you can stay here.'
                          : 'The name does not open in this browser.');
      if (help) help.open = true;
      return false;
    });
  }

  function look() {
    if (document.hidden) return setTimeout(look, wait);
    (url ? reach() : Promise.resolve(false)).then(function (open) {
      if (open) return;
      setTimeout(function () { watch().then(look); }, wait);
      wait = Math.min(2 * wait, 60000);
    });
  }

  function draw(figure) {
    var code = qrcode(0, 'M'), ns = 'http://www.w3.org/2000/svg', path = '', row, column;
    code.addData(figure.dataset.text);
    code.make();
    var size = code.getModuleCount();
    for (row = 0; row < size; row++)
      for (column = 0; column < size; column++)
        if (code.isDark(row, column)) path += 'M' + (column + 4) + ' ' + (row + 4) + 'h1v1h-1z';
    var svg = document.createElementNS(ns, 'svg'), dark = document.createElementNS(ns, 'path');
    svg.setAttribute('viewBox', '0 0 ' + (size + 8) + ' ' + (size + 8));
    svg.setAttribute('role', 'img');
    svg.setAttribute('aria-label', 'QR code of ' + figure.dataset.text);
    dark.setAttribute('d', path);
    dark.setAttribute('fill', '#000');
    svg.append(dark);
    figure.prepend(svg);
    figure.hidden = false;
  }

  var figure = document.getElementById('qr');
  if (figure) draw(figure);
  if (url) say('Trying ' + url + ' \u2026');
  else if (said) say('This page looks again by itself.');
  if (said) look();
}());
