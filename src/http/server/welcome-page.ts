import { type Notice, textsOf } from '../../core/notice.js'
import { isLoopback } from '../../core/settings/units.js'
import type { HttpApi } from '../api/api.js'
import { OPENAPI_PATH } from '../openapi/operation.js'
import { docsUrl } from '../status/docs.js'
import { policyOf } from './page-policy.js'

/** The facts about an API on the front page and in the 404. */
export interface MountedApi {
  readonly name: string
  readonly prefix: string
  /** Absent: the front page has its name alone. */
  readonly page?: Pick<HttpApi, 'about' | 'tryIt' | 'readIt'>
}

/** Content of the page that opens at the address of the gateway. */
export interface Welcome {
  readonly status: {
    readonly version: string
    readonly brokerMode: 'embedded' | 'kafka'
    kafkaReasons(): readonly Notice[]
  }
  readonly apis: readonly MountedApi[]
  /** The address of the management port; `undefined`: unknown here, or off. */
  readonly management?: string | undefined
  /** Clients may need credentials. */
  readonly asksForLogin: boolean
}

const STYLE = `:root{color-scheme:light dark;--ground:#f5f6f8;--panel:#fff;--edge:#dfe3e8;--text:#1a1f26;--soft:#566070;--accent:#2457a6;--bad:#b3261e}
@media (prefers-color-scheme:dark){:root{--ground:#101419;--panel:#181d24;--edge:#2b323c;--text:#e4e8ee;--soft:#9da8b7;--accent:#84b4ff;--bad:#ff8f85}}
*{box-sizing:border-box}
body{max-width:52rem;margin:0 auto;padding:1rem;background:var(--ground);color:var(--text);font:16px/1.5 system-ui,-apple-system,"Segoe UI","Noto Sans",sans-serif}
h1{margin:.5rem 0 0;font-size:1.5rem}h1 small{display:block;color:var(--soft);font-size:.9rem;font-weight:400}
h2{margin:0 0 .6rem;font-size:1.1rem}h3{margin:0;font-size:1rem}
p{margin:.4rem 0}.soft,summary{color:var(--soft);font-size:.9rem}
section{margin:1rem 0;padding:1rem;background:var(--panel);border:1px solid var(--edge);border-radius:10px}
.away{border-left:4px solid var(--bad)}
ul{margin:0;padding:0;list-style:none}li+li{margin-top:.7rem;padding-top:.7rem;border-top:1px solid var(--edge)}
a{color:var(--accent)}summary{padding:.2rem 0;cursor:pointer}
code{font:.87em/1.5 ui-monospace,"SF Mono","Cascadia Mono","DejaVu Sans Mono",monospace;overflow-wrap:anywhere}
pre{margin:.4rem 0;padding:.7rem .8rem;background:var(--ground);border:1px solid var(--edge);border-radius:6px;white-space:pre-wrap}
pre code{user-select:all}`

/** Forbids scripts, content from other addresses, and frames around the page. */
export const WELCOME_POLICY = policyOf(`<style>${STYLE}</style>`)

const LOGIN = "-H 'authorization: Bearer TOKEN'"
const ICON =
  "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath fill='%235a6b8c' d='M2 2h3v2h2V2h2v2h2V2h3v5l-2 1v6H4V8L2 7z'/%3E%3C/svg%3E"

const escapeHtml = (text: string): string => text.replaceAll(/[&<>"']/g, one => `&#${one.charCodeAt(0)};`)
const link = (url: string, text: string): string => `<a href="${escapeHtml(url)}">${escapeHtml(text)}</a>`
const toCommand = (command: string): string => `<pre><code>${escapeHtml(command)}</code></pre>`
const section = (title: string, content: string, kind = ''): string =>
  `<section${kind}><h2>${escapeHtml(title)}</h2>${content}</section>`

const pageOf = (head: string, sections: readonly string[]): string => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Castellan</title>
<link rel="icon" href="${ICON}">
<style>${STYLE}</style>
<h1>Castellan <small>${escapeHtml(head)}</small></h1>
${sections.join('\n')}
</html>
`

/**
 * The page: first one command that writes a record, then everything for clients that exist already.
 *
 * @param url of the shared port, as the client has called it
 * @param hasLinks links to this port are served: its names are known
 */
export function welcomePage(welcome: Welcome, url: string, hasLinks: boolean): string {
  const { apis, asksForLogin, status } = welcome
  const commandsOf = ({ prefix, page }: MountedApi): string[] =>
    [...(page?.tryIt(url + prefix) ?? []), ...(page?.readIt?.(url + prefix) ?? [])].map(command =>
      toCommand(asksForLogin ? command.replace(/^curl /, `curl ${LOGIN} `) : command)
    )
  const [first = '<p>No API is on: <code>apis</code> of the configuration turns them on.</p>'] =
    apis.flatMap(commandsOf)
  const hints = [
    'A click selects the command.',
    ...(status.brokerMode === 'kafka' ? ['The topic orders has to exist in Kafka.'] : []),
    ...(asksForLogin ? ['Put your token in place of TOKEN; with a password it is -u USER:PASSWORD.'] : [])
  ].join(' ')
  const toItem = (api: MountedApi): string =>
    `<li><h3>${link(docsUrl(`docs/compatibility/${api.name}.md`), api.name)}</h3><code>${escapeHtml(url + api.prefix)}</code><p class="soft">${escapeHtml(api.page?.about ?? '')}</p><details><summary>Commands to try it</summary>${commandsOf(api).join('')}</details></li>`
  const document = hasLinks ? link(OPENAPI_PATH, 'OpenAPI') : `OpenAPI: <code>${escapeHtml(url + OPENAPI_PATH)}</code>`
  const more = [
    `All operations, as ${document}`,
    link(docsUrl('docs/README.md'), 'Docs of this version'),
    toManagement(welcome, url)
  ]
  const reasons = textsOf(status.kafkaReasons())
  const away = `<p>${escapeHtml(reasons.join('; '))}.</p><p class="soft">The gateway tries again by itself. The management page says more.</p>`
  return pageOf(`${status.version}, an HTTP gateway to Kafka`, [
    ...(reasons.length > 0 ? [section('Kafka is away', away, ' class="away"')] : []),
    section('Write a first record', `${first}<p class="soft">${hints}</p>`),
    section('For clients you already have', `<ul>${apis.map(toItem).join('')}</ul>`),
    section('More', `<ul>${more.map(item => `<li>${item}</li>`).join('')}</ul>`)
  ])
}

/** A link where the browser of the person reaches the page under the name by which it has called the gateway. */
function toManagement({ management }: Welcome, url: string): string {
  const text = 'The management page: what is in trouble, and where a record is'
  const name = url.replace(/^\w+:\/\/|:\d+$/g, '').toLowerCase()
  const own = management === undefined ? undefined : new URL(management)
  if (own && /^(0\.0\.0\.0|\[::\])$/.test(own.hostname)) own.hostname = name
  if (own && (own.hostname === name || (isLoopback(own.hostname) && isLoopback(name)))) return link(own.href, text)
  return `${text}. It has the address of <code>management.host</code> and <code>management.port</code>: by default <code>http://127.0.0.1:8081</code>, on the machine of the gateway alone.`
}

/** The page for a browser that is refused. @param message the reason */
export function refusalPage(status: number, message: string, url: string): string {
  const login = `<p>A browser sends no token by itself. With a token, or with a user and a password:</p>${toCommand(`curl ${LOGIN} ${url}`)}${toCommand(`curl -u USER:PASSWORD ${url}`)}<p class="soft">The people who run this gateway give tokens and passwords; ${link(docsUrl('docs/authentication.md'), 'docs/authentication.md')} says how. The management page asks for them in a form.</p>`
  const title = status === 401 ? 'This gateway asks for credentials' : 'The gateway does not answer this request'
  return pageOf('an HTTP gateway to Kafka', [
    section(title, `<p>${escapeHtml(message)}.</p>${status === 401 ? login : ''}`)
  ])
}
