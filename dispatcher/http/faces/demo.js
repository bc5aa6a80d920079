// The demonstration: whoever opens it is a person of this service, and writes to themselves.
const who = 'demo', inbox = document.getElementById('inbox'), form = document.getElementById('send');
const post = async (path, body, method = 'POST') => {
  const answer = await fetch(path, { method, headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
  return { ok: answer.ok, body: await answer.json() };
};
const say = text => { document.getElementById('said').textContent = text; };

inbox.getToken = async () => (await post(`/v1/recipients/${who}/inbox-token`, {})).body.token;
inbox.remove();
document.querySelector('header').append(inbox); // now that it knows whom to ask
form.elements.locale.onchange = () => inbox.setAttribute('locale', form.elements.locale.value);
form.onsubmit = async e => {
  e.preventDefault();
  const recipient = { id: who, locale: form.elements.locale.value, timezone: Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC' };
  const { ok, body } = await post('/v1/messages', { recipient, template: 'order-update', channels: ['in_app'], source: 'demo', data: { order: String(Date.now()).slice(-5), parcels: Number(form.elements.parcels.value) } });
  say(ok ? 'Accepted. The bell says when it is there.' : 'It was refused; the answer says why.');
  document.getElementById('answer').textContent = JSON.stringify(body, null, 2);
};
