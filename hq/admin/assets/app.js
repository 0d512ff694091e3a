/* The operator's dashboard: asks HQ every ten seconds, and shows what it says. Text comes into the page as text only. */
'use strict';

const EVERY_MS = 10000;
const DAYS_SHOWN = 95; /* certificates live 90 days or less, but for private CAs */
const $ = (id) => document.getElementById(id);
let plot = null;
let plotted = [];

/* ---- Making elements ---- */

function make(name, text, attributes = {}) {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text;
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
}

const number = (value) => value.toLocaleString('en');
const counted = (value, one, many) => `${number(value)} ${value === 1 ? one : many}`;
const two = (value) => String(value).padStart(2, '0');

function time(seconds) {
    if (!seconds) return '–';
    const date = new Date(seconds * 1000);
    return `${date.getUTCFullYear()}-${two(date.getUTCMonth() + 1)}-${two(date.getUTCDate())} ${two(date.getUTCHours())}:${two(date.getUTCMinutes())}`;
}

function span(seconds) {
    if (seconds < 1) return seconds > 0 ? `${Math.max(0.1, seconds * 1000).toFixed(seconds < 0.01 ? 1 : 0)} ms` : '0 s';
    for (const [size, unit] of [[86400, 'd'], [3600, 'h'], [60, 'min']]) {
        if (seconds >= 2 * size) return `${Math.round(seconds / size)} ${unit}`;
    }
    return `${Math.round(seconds)} s`;
}

/* columns: [[title, row => text or element, 'number' or 'time' or nothing], ...] */
function table(into, rows, columns, none) {
    if (rows.length === 0) {
        into.replaceChildren(make('p', none, {class: 'none'}));
        return;
    }
    const head = make('tr');
    for (const [title, , kind] of columns) head.append(make('th', title, {scope: 'col', ...(kind ? {class: kind} : {})}));
    const body = make('tbody');
    for (const row of rows) {
        const line = make('tr');
        for (const [title, show, kind] of columns) {
            const cell = make('td', undefined, {'data-title': title, ...(kind ? {class: kind} : {})});
            const shown = show(row);
            cell.append(shown instanceof Node ? shown : make('span', String(shown)));
            line.append(cell);
        }
        body.append(line);
    }
    const top = make('thead');
    top.append(head);
    const whole = make('table', undefined, columns.length > 2 ? {class: 'stack'} : {});
    whole.append(top, body);
    into.replaceChildren(whole);
}

function verdict(good, yes, no) {
    return make('span', good ? yes : no, {class: good ? 'good-text' : 'bad-text'});
}

/* ---- What is wrong ---- */

function problems(census, live) {
    const list = [];
    const say = (kind, text) => list.push([kind, text]);
    if (!live.store) say('bad', 'The database does not answer.');
    if (live.standby) say('good', 'This HQ stands by: another one publishes and issues.');
    if (!live.standby) {
        if (!live.dns.ready) say('bad', 'What the zone is published into is not there.');
        if (live.dns.lag > 60) say('bad', `DNS is ${span(live.dns.lag)} behind.`);
        for (const server of live.dns.nameservers) if (server.failing) say('warn', `Name server ${server.name} (${server.address}) has failed for ${span(server.failing)}.`);
        for (const server of live.dns.updates) if (server.failing) say('warn', `${server.server} does not take updates of ${server.zone}: ${server.why}`);
        if (live.cas.every((ca) => !ca.ready || ca.down)) say('bad', 'No CA works: there are no new certificates.');
        else for (const ca of live.cas) if (!ca.ready || ca.down) say('warn', `${ca.ca} does not work.`);
        for (const ca of live.cas) if (ca.pause) say('warn', `${ca.ca} wants no new orders for ${span(ca.pause)}.`);
    }
    if (census) {
        const soon = census.certificates.days.slice(0, 3).reduce((a, b) => a + b, 0);
        if (soon) say('warn', `${counted(soon, 'certificate ends', 'certificates end')} within 3 days.`);
        if (census.certificates.expired) say('warn', `${counted(census.certificates.expired, 'certificate has', 'certificates have')} ended.`);
        if (census.orders.states.dead) say('warn', `${counted(census.orders.states.dead, 'order was', 'orders were')} given up.`);
    }
    if (list.length === 0) say('good', 'All is well.');
    $('problems').replaceChildren(...list.map(([kind, text]) => make('li', text, {class: kind})));
}

function numbers(census, live) {
    const sum = (object) => Object.values(object).reduce((a, b) => a + b, 0);
    const shown = [];
    if (census) {
        const waiting = census.orders.waiting.reduce((all, lane) => all + lane.renewals + lane.fresh, 0);
        shown.push(['active devices', number(census.devices.active)], ['seen in a day', number(census.devices.seen_day)],
            ['certificates', number(census.certificates.total)], ['waiting for one', number(waiting)],
            ['orders in backoff', number(census.orders.states.backoff)], ['not in DNS yet', number(census.unpublished)]);
    }
    if (!live.standby) shown.push(['DNS lag', span(live.dns.lag)]);
    shown.push(['connections', number(live.connections.open)], ['requests', number(sum(live.requests.map((one) => one.count)))],
        ['memory', `${Math.round(live.memory / 1048576)} MiB`]);
    $('numbers').replaceChildren(...shown.map(([title, value]) => {
        const box = make('div');
        box.append(make('dt', title), make('dd', value));
        return box;
    }));
}

/* ---- Certificates by days left ---- */

function draw() {
    const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const axis = {stroke: color('--soft'), grid: {stroke: color('--line'), width: 1}, ticks: {stroke: color('--line'), width: 1}};
    const days = plotted.map((_, day) => day);
    const soon = plotted.map((count, day) => (day < 7 ? count || null : null));
    const later = plotted.map((count, day) => (day < 7 ? null : count || null));
    const bars = uPlot.paths.bars({size: [0.8, 40]});
    const series = (label, name) => ({label, paths: bars, fill: color(name), stroke: color(name), points: {show: false}});
    if (plot) plot.destroy();
    plot = new uPlot({
        width: $('plot').clientWidth, height: 240, cursor: {drag: {setScale: false}},
        scales: {x: {time: false, range: [-0.5, plotted.length - 0.5]}, y: {range: (_, low, high) => [0, Math.max(1, high * 1.05)]}},
        axes: [{...axis, label: 'days left', labelSize: 20}, {...axis, size: 64, values: (_, ticks) => ticks.map((tick) => (Number.isInteger(tick) ? number(tick) : ''))}],
        series: [{label: 'day'}, series('within a week', '--bar-bad'), series('later', '--bar')],
    }, [days, soon, later], $('plot'));
}

function certificates(census) {
    const days = census.certificates.days;
    const last = days.length - 1 - [...days].reverse().findIndex((count) => count > 0);
    plotted = days.slice(0, Math.max(DAYS_SHOWN, last < days.length ? last + 1 : 0));
    draw();
    const week = days.slice(0, 7).reduce((a, b) => a + b, 0);
    $('plot-says').textContent = `${counted(census.certificates.total, 'certificate', 'certificates')}: ${number(census.certificates.expired)} ended, ` +
        `${number(week)} to end within 7 days; the renewal of ${number(census.certificates.overdue)} is more than a day late.`;
    const rows = days.map((count, day) => [day, count]).filter(([, count]) => count);
    table($('days'), rows, [['Days left', ([day]) => (day === days.length - 1 ? `${day} or more` : day)], ['Certificates', ([, count]) => number(count), 'number']],
        'There are no certificates yet.');
}

/* ---- The rest ---- */

function fleet(census, live) {
    const eta = Object.fromEntries(live.eta.map((one) => [one.priority, one.eta]));
    const words = {urgent: 'urgent: in their last quarter', new: 'new devices', routine: 'renewals in good time', open: 'open devices'};
    table($('devices'), [['active', 'active'], ['silent', 'silent: active, not seen for long'], ['blocked', 'blocked'], ['retired', 'left'], ['open', 'of all, enrolled as open']],
        [['State', ([, text]) => text], ['Devices', ([key]) => number(census.devices[key]), 'number']]);
    table($('versions'), census.versions, [['Version', (row) => row.version || '–'], ['Devices', (row) => number(row.devices), 'number']], 'There are no devices yet.');
    table($('queue'), census.orders.waiting, [['Who', (row) => words[row.priority]], ['Renewals', (row) => number(row.renewals), 'number'],
        ['Fresh', (row) => number(row.fresh), 'number'], ['A new one waits', (row) => (live.standby ? '–' : span(eta[row.priority])), 'number']]);
    table($('states'), Object.entries(census.orders.states), [['State', ([state]) => state], ['Orders', ([, count]) => number(count), 'number']]);
    table($('errors'), census.errors, [['Time (UTC)', (row) => time(row.at), 'time'], ['Device', (row) => deviceButton(row.device, row.name || row.device)],
        ['State', (row) => row.state], ['What the CA or HQ says', (row) => row.error || '–']], 'No order is in backoff or dead.');
}

function atWork(live) {
    const limits = (ca) => ca.limits.map((limit) => `${limit.limit} ${number(limit.left)} of ${number(limit.size)}`).join(', ') || 'none known';
    table($('cas'), live.cas, [['CA', (ca) => ca.ca], ['State', (ca) => verdict(ca.ready && !ca.down, 'works', live.standby ? 'not used here' : 'does not work')],
        ['At work', (ca) => number(ca.in_flight), 'number'], ['Issued', (ca) => number(ca.issued), 'number'],
        ['Failed', (ca) => number(ca.backoff + ca.dead), 'number'], ['Limits left', limits]], 'No CA is configured.');
    $('lag').textContent = live.standby ? 'Another HQ publishes.' : `The oldest change that is not confirmed is ${span(live.dns.lag)} old.`;
    table($('nameservers'), live.dns.nameservers, [['Name server', (row) => row.name], ['Address', (row) => row.address],
        ['State', (row) => verdict(!row.failing, 'good', `failing for ${span(row.failing)}`)]], 'No name server is configured.');
    if (live.dns.updates.length) table($('updates'), live.dns.updates, [['Updated server', (row) => row.server], ['Zone', (row) => row.zone],
        ['State', (row) => verdict(!row.failing, 'good', row.why)], ['Waiting', (row) => number(row.waiting), 'number'], ['Refused', (row) => number(row.refused), 'number']]);
    table($('requests'), live.requests.filter((row) => row.count), [['Request', (row) => row.request], ['Answers', (row) => number(row.count), 'number'],
        ['Refused', (row) => number(row.refused), 'number'], ['Median', (row) => span(row.p50), 'number'], ['99 %', (row) => span(row.p99), 'number']], 'No device has asked yet.');
}

/* ---- One device ---- */

function deviceButton(id, text) {
    const button = make('button', text, {type: 'button', class: 'link'});
    button.addEventListener('click', () => showDevice(id));
    return button;
}

async function ask(path) {
    const answer = await fetch(path, {headers: {Accept: 'application/json'}});
    if (answer.status === 401) location.assign('/login');
    if (!answer.ok) throw new Error(`HQ answers ${answer.status}`);
    return answer.json();
}

async function search(event) {
    event.preventDefault();
    try {
        const rows = await ask(`/api/devices?q=${encodeURIComponent($('q').value.trim())}`);
        table($('found'), rows, [['Device', (row) => deviceButton(row.id, row.name)], ['Serial', (row) => row.serial || '–'],
            ['State', (row) => (row.state === 'active' && row.silent ? 'silent' : row.state)], ['Last seen (UTC)', (row) => time(row.last_seen), 'time']],
        'No device has such a name, serial number or id.');
        if (rows.length === 1) await showDevice(rows[0].id);
    } catch (error) {
        $('found').replaceChildren(make('p', error.message, {class: 'bad-text'}));
    }
}

async function showDevice(id) {
    const device = await ask(`/api/device?q=${encodeURIComponent(id)}`);
    const certificate = device.certificate;
    const others = device.names.filter((row) => row.role === 'wanted' || row.role === 'old')
        .map((row) => `${row.name} (${row.role === 'old' ? `until ${time(row.until)}` : 'its certificate is awaited'})`);
    const facts = [['id', device.id], ...(others.length ? [['other names', others.join(', ')]] : []), ['serial', device.serial || '–'], ['state', device.state === 'active' && device.silent ? 'silent' : device.state],
        ['credential', device.credential], ['model', `${device.model || '–'} ${device.version}`], ['enrolled', time(device.created)], ['last seen', time(device.last_seen)],
        ['stated', device.stated.join(' ') || 'none'], ['published', device.published.join(' ') || 'none'],
        ['certificate', certificate ? `number ${certificate.n}, until ${time(certificate.not_after)}, renewal ${time(certificate.renewal)}` : 'none']];
    $('device-title').textContent = device.name;
    $('device-facts').replaceChildren(...facts.flatMap(([title, value]) => [make('dt', title), make('dd', value)]));
    table($('timeline'), device.timeline, [['Time (UTC)', (row) => time(row.at), 'time'], ['Event', (row) => row.event],
        ['Detail', (row) => [row.n ? `certificate ${row.n}` : '', row.detail].filter(Boolean).join(', ') || '–']]);
    table($('device-orders'), device.orders, [['Order', (row) => row.id], ['State', (row) => row.state], ['Made (UTC)', (row) => time(row.created), 'time'],
        ['Next try (UTC)', (row) => time(row.next_try), 'time'], ['Error', (row) => row.error || '–']], 'It has sent no CSR yet.');
    $('device').hidden = false;
    $('device-title').focus();
}

/* ---- The turn ---- */

async function turn() {
    try {
        const {census, live} = await ask('/api/overview');
        $('about').textContent = `version ${live.version}, running for ${span(live.time - live.started)}; ${time(live.time)} UTC`;
        problems(census, live);
        numbers(census, live);
        atWork(live);
        if (census) {
            fleet(census, live);
            certificates(census);
        }
        document.documentElement.dataset.shown = String(Number(document.documentElement.dataset.shown || 0) + 1);
    } catch (error) {
        $('problems').replaceChildren(make('li', `No news from HQ: ${error.message}`, {class: 'bad'}));
    }
    setTimeout(turn, EVERY_MS);
}

$('search').addEventListener('submit', search);
addEventListener('resize', () => { if (plotted.length) draw(); });
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => { if (plotted.length) draw(); });
turn();
