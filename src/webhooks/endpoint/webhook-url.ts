import { parseUrl } from '../../core/parse-url.js'

/** Limit of a url in bytes, both as written and as sent, where a character that is not ASCII takes three times as many. */
const MAX_URL_BYTES = 2_048
/** An `@` before the path, also without a name. `URL` takes a backslash for a slash. */
const USER_INFO = /^\s*[a-z]+:[/\\]*[^/\\?#]*@/i
/** Texts that servers may take for steps in a path: `..`, and escaped dots and slashes. `URL` removes some of them. */
const STEPS = /\.\.|%2e|%2f/i

/** Credentials of requests, and where they may be sent. */
export type Credential = {
  /** The credentials are sent only to urls with the origin of one of these, and with its path or a path below it. */
  readonly urls: readonly string[]
} & (
  | { readonly type: 'bearer'; readonly token: string }
  | { readonly type: 'basic'; readonly username: string; readonly password: string }
)

/** Why the url of a webhook cannot be used, whatever the other settings; `undefined`: it can. The text never shows the url. */
export function urlProblem(text: string): string | undefined {
  if (Buffer.byteLength(text) > MAX_URL_BYTES) return `is longer than ${MAX_URL_BYTES} bytes`
  const { protocol = '', href = '' } = parseUrl(text) ?? {}
  if (!/^https?:$/.test(protocol)) return 'write it as https://HOST/PATH'
  if (href.length > MAX_URL_BYTES)
    return `is longer than ${MAX_URL_BYTES} bytes as it is sent: its characters are escaped`
  if (USER_INFO.test(text)) return 'must have no user and no password; name a credential'
  return text.includes('#') ? 'must have no fragment (#…)' : undefined
}

/** Why the credential may not be sent to this url, which has no {@link urlProblem}; `undefined`: it may. */
export function credentialProblem(text: string, { urls }: Credential): string | undefined {
  if (STEPS.test(text.split('?')[0]!))
    return 'must have no "..", "%2e" and "%2f" in its path where a credential is named'
  const url = new URL(text)
  return urls.some(named => isWithin(url, new URL(named))) ? undefined : 'is not within the urls of its credential'
}

/** Whether a url is one that was named, or below it: `/hooks` and `/hooks/` have `/hooks/a` below them, but not `/hooks2`. */
function isWithin(url: URL, named: URL): boolean {
  if (url.origin !== named.origin) return false
  return url.pathname === named.pathname || url.pathname.startsWith(`${named.pathname.replace(/\/$/, '')}/`)
}

/** The header `authorization`. */
export const authorizationOf = (credential: Credential): string =>
  credential.type === 'bearer'
    ? `Bearer ${credential.token}`
    : `Basic ${Buffer.from(`${credential.username}:${credential.password}`).toString('base64')}`
