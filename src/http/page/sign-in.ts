import type { VNode } from 'preact'
import { basic, bearer, credentials } from './credentials.js'
import { html } from './html.js'

/** Asks for credentials after the gateway has answered 401. */
export function SignIn({ message, done }: { readonly message: string; readonly done: () => void }): VNode {
  const submit = (event: SubmitEvent): void => {
    event.preventDefault()
    const form = new FormData(event.target as HTMLFormElement)
    const text = (name: string): string => String(form.get(name) ?? '')
    const [token, user] = [text('token'), text('user')]
    if (token !== '') credentials.set(bearer(token))
    else if (user !== '') credentials.set(basic(user, text('password')))
    done()
  }
  return html`<section class="panel sign-in" aria-labelledby="sign-in">
    <h2 id="sign-in">Sign in</h2>
    <p role="alert">The gateway asks for credentials: ${message}.</p>
    <form onSubmit=${submit}>
      <label>Token <input name="token" type="password" required autocomplete="off" /></label>
      <button type="submit">Sign in</button>
    </form>
    <p class="or">or</p>
    <form onSubmit=${submit}>
      <label>User <input name="user" required autocomplete="username" /></label>
      <label>Password <input name="password" type="password" autocomplete="current-password" /></label>
      <button type="submit">Sign in</button>
    </form>
    <p class="note">They need the permission <code>management</code>. This tab keeps them until it is closed.</p>
  </section>`
}
