import { render } from 'preact'
import { App } from './app.js'
import { html } from './html.js'
import { Poll } from './poll.js'

const root = document.getElementById('app')!
root.replaceChildren()
const poll: Poll = new Poll(looked => render(html`<${App} looked=${looked} poll=${poll} />`, root))
poll.now()
