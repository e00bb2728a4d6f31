import { X509Certificate } from 'node:crypto'
import { codeOf } from '../core/node-errors.js'
import type { WebhookDefinition } from './definition.js'
import { secretIn } from './endpoint/signature.js'
import { authorizationOf, type Credential, credentialProblem } from './endpoint/webhook-url.js'
import type { WebhooksSettings } from './settings.js'

const DEFAULT_CONTENT_TYPE = 'application/octet-stream'
const MAX_SECRETS = 2
const NO_SECRETS = 'must have one secret or two, each whsec_ and 24 to 64 bytes in base64'
const CERTIFICATE = '-----BEGIN CERTIFICATE-----'

/** Limit of the header that a credential makes: the head of a request stays below what servers read. */
const MAX_AUTHORIZATION_BYTES = 2 * 1024

/** Characters that may stand in a line of the head as they are. */
const ONE_WORD = /^[\x21-\x7e]+$/
const CONTROL = /\p{Cc}/u

type Settings = WebhooksSettings['definitions'][string]
type CredentialSettings = WebhooksSettings['credentials'][string]

/** Contents of files that the settings of webhooks name. Never printed. */
export interface WebhookFiles {
  /** The secrets of each webhook by its name, newest first. */
  readonly secrets: Readonly<Record<string, readonly string[]>>
  /** The certificates of `webhooks.tls.ca`. */
  readonly ca: string | undefined
}

export interface WebhookSources {
  readonly environment: Readonly<Record<string, string | undefined>>
  /** @throws when the file cannot be read */
  readonly readFile: (path: string) => string
  /** The names of the clusters. */
  readonly clusters: readonly string[]
}

/** The variable with the secrets of a webhook: `my-hook` => `CASTELLAN_WEBHOOKS_MY_HOOK_SECRET`. */
export const secretVariable = (name: string): string =>
  `CASTELLAN_WEBHOOKS_${name.toUpperCase().replaceAll('-', '_')}_SECRET`

/** Whether a variable of the environment is meant to have the secrets of a webhook. */
export const isSecretVariable = (variable: string): boolean => /^CASTELLAN_WEBHOOKS_.+_SECRET$/.test(variable)

/**
 * Reads secrets and certificates, and checks what single settings do not show.
 *
 * @returns with one line for each problem
 */
export function readWebhookFiles(
  settings: WebhooksSettings,
  sources: WebhookSources
): WebhookFiles & { readonly problems: readonly string[] } {
  const problems: string[] = []
  const secrets: Record<string, readonly string[]> = {}
  for (const [name, definition] of Object.entries(settings.definitions)) {
    const at = `webhooks.definitions.${name}`
    problems.push(...problemsOf(definition, settings, sources.clusters).map(problem => `${at}.${problem}`))
    const found = secretsOf(name, definition, sources)
    if (typeof found === 'string') problems.push(`${at}: ${found}`)
    else secrets[name] = found
  }
  for (const [name, credential] of Object.entries(settings.credentials))
    problems.push(...problemsOfCredential(credential).map(problem => `webhooks.credentials.${name}.${problem}`))
  const known = new Set(Object.keys(settings.definitions).map(secretVariable))
  for (const [variable, value] of Object.entries(sources.environment))
    if (isSecretVariable(variable) && value !== undefined && value !== '' && !known.has(variable))
      problems.push(`${variable}: there is no such webhook among webhooks.definitions`)
  const ca = certificatesIn(settings.tls.ca, sources)
  if (typeof ca === 'object') problems.push(`webhooks.tls.ca: ${ca.problem}`)
  return { problems, secrets, ca: typeof ca === 'string' ? ca : undefined }
}

function problemsOf(definition: Settings, { credentials }: WebhooksSettings, clusters: readonly string[]): string[] {
  const { cluster, topic, deadLetters, format, contentType, credential, url } = definition
  const problems: string[] = []
  if (!clusters.includes(cluster)) problems.push(`cluster: there is no cluster ${cluster} among clusters`)
  if (deadLetters === topic) problems.push('deadLetters: must be another topic than the one that is sent')
  if (format === 'cloudevents' && contentType !== undefined)
    problems.push('contentType: belongs to the format value; with cloudevents each record has its own')
  if (credential === undefined) return problems
  const named = Object.hasOwn(credentials, credential) ? credentials[credential] : undefined
  if (named === undefined) problems.push(`credential: there is no ${credential} among webhooks.credentials`)
  const problem = named && credentialProblem(url, toCredential(named))
  return problem === undefined ? problems : [...problems, `url: ${problem}`]
}

function problemsOfCredential(credential: CredentialSettings): string[] {
  const isBearer = credential.type === 'bearer'
  const [needed, other] = [['token'] as const, ['username', 'password'] as const]
  const missing = (isBearer ? needed : other).filter(member => credential[member] === undefined)
  const surplus = (isBearer ? other : needed).filter(member => credential[member] !== undefined)
  return [
    ...missing.map(member => `${member}: is missing; the type ${credential.type} needs it`),
    ...surplus.map(member => `${member}: the type ${credential.type} has none`),
    ...(authorizationOf(toCredential(credential)).length > MAX_AUTHORIZATION_BYTES
      ? [`${isBearer ? 'token' : 'password'}: is too long: its header has at most ${MAX_AUTHORIZATION_BYTES} bytes`]
      : []),
    ...(isBearer ? problemsOfToken(credential) : problemsOfLogin(credential))
  ]
}

const problemsOfToken = ({ token }: CredentialSettings): string[] =>
  token === undefined || ONE_WORD.test(token)
    ? []
    : ['token: must be one word of ASCII: without spaces, line breaks and other characters']

function problemsOfLogin(credential: CredentialSettings): string[] {
  const withControl = (['username', 'password'] as const).filter(member => CONTROL.test(credential[member] ?? ''))
  return [
    ...(credential.username?.includes(':')
      ? ['username: must have no colon, which ends the name where it is sent']
      : []),
    ...withControl.map(member => `${member}: must have no line break and no other control character`)
  ]
}

const toCredential = ({ type, urls, token = '', username = '', password = '' }: CredentialSettings) =>
  type === 'bearer' ? { type, urls, token } : { type, urls, username, password }

/** @returns a text: what is wrong, without anything that the file or the variable has */
function secretsOf(
  name: string,
  { secretFile }: Settings,
  { environment, readFile }: WebhookSources
): readonly string[] | string {
  const variable = secretVariable(name)
  const given = environment[variable] ?? ''
  if (given !== '' && secretFile !== undefined) return `secretFile: is given besides ${variable}; remove one of them`
  if (given !== '') return parsed(given) ?? `${variable} ${NO_SECRETS}`
  if (secretFile === undefined) return `has no secret; name a file with secretFile, or set ${variable}`
  try {
    return parsed(readFile(secretFile)) ?? `secretFile: ${secretFile} ${NO_SECRETS}, one a line`
  } catch (error) {
    return `secretFile: cannot read ${secretFile} (${codeOf(error)})`
  }
}

function parsed(text: string): readonly string[] | undefined {
  const secrets = text.split(/[\s,]+/).filter(part => part !== '')
  const areGood = secrets.length >= 1 && secrets.length <= MAX_SECRETS && secrets.every(one => secretIn(one))
  return areGood ? secrets : undefined
}

function certificatesIn(
  path: string | undefined,
  { readFile }: WebhookSources
): string | { readonly problem: string } | undefined {
  if (path === undefined) return undefined
  try {
    const text = readFile(path)
    if (!text.includes(CERTIFICATE)) return { problem: `${path} has no certificate in PEM form` }
    new X509Certificate(text)
    return text
  } catch (error) {
    return { problem: `cannot use ${path} (${codeOf(error)})` }
  }
}

/** The definitions of settings without problems. */
export const definitionsIn = ({ definitions }: WebhooksSettings): WebhookDefinition[] =>
  Object.entries(definitions).map(([name, settings]) => {
    const { secretFile: _, credential: __, contentType = DEFAULT_CONTENT_TYPE, ...rest } = settings
    return { ...rest, name, contentType, deadLetters: settings.deadLetters }
  })

/** The credential that a webhook sends; `undefined`: none. */
export function credentialOf(settings: WebhooksSettings, name: string): Credential | undefined {
  const { credential } = settings.definitions[name] ?? {}
  return credential === undefined ? undefined : toCredential(settings.credentials[credential]!)
}
