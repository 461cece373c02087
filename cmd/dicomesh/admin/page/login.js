// Signing in: the token is sent once, and the agent answers with a cookie that scripts cannot read.

const said = document.getElementById('said');
if (location.hash === '#over') said.textContent = 'Signed out: the session is over, or the agent was started again. How the cluster is cannot be seen until somebody signs in.';

document.getElementById('form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const field = document.getElementById('token');
  said.textContent = '';
  try {
    const answer = await fetch('/session', { method: 'POST', body: JSON.stringify({ token: field.value.trim() }), signal: AbortSignal.timeout(10_000) });
    if (answer.ok) {
      location.replace('/');
      return;
    }
    const words = (await answer.text()).trim(), text = words.charAt(0).toUpperCase() + words.slice(1);
    said.textContent = answer.status === 401 ? `${text}. Make another one on the site's machine: dicomesh access add NAME` : text;
  } catch {
    said.textContent = 'The agent does not answer.';
  }
  field.select();
});
