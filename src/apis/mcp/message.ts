import { ApiError } from '../../http/api/api-answers.js'

const METHOD_NOT_FOUND = -32_601
const INVALID_PARAMS = -32_602

/** Members of `_meta` by which revisions from 2026-07-28 on say who asks. */
const VERSION = 'io.modelcontextprotocol/protocolVersion'
const CLIENT = 'io.modelcontextprotocol/clientInfo'
const CAPABILITIES = 'io.modelcontextprotocol/clientCapabilities'

const MAX_ID = 256
const MAX_NAME = 128
const MAX_VERSION = 64
/** Values in the arguments of a call, with those in lists and in members. Validating more would hold the process. */
const MAX_VALUES = 2_000
/** Limit of the texts with which clients describe themselves; longer ones are cut. */
const MAX_INFO = 200

type Members = Readonly<Record<string, unknown>>

/** A message in two parts: the part that the package gets, and the rest. */
export interface OwnMessage {
  /**
   * The message with only the members that this gateway knows: the package validates all, and long lists would hold the process.
   */
  readonly message: object
  /** Arguments of a tool, as they came. `undefined`: they are more values than any tool takes. */
  readonly given: Members | undefined
  /** The message is a notification, which gets no answer. */
  readonly isNotification: boolean
}

/** @throws ApiError */
export function ownMessageOf(sent: unknown): OwnMessage {
  if (Array.isArray(sent)) throw new ApiError(400, 'a list of messages is not taken: send one message')
  if (!isMembers(sent) || sent.jsonrpc !== '2.0') throw new ApiError(400, 'the body is no message of JSON-RPC 2.0')
  const { method, params = {} } = sent
  if (!isText(method, MAX_NAME)) throw new ApiError(400, 'the message has no method, or a long one')
  if (!('id' in sent)) return { message: { jsonrpc: '2.0', method }, given: {}, isNotification: true }
  const id = idOf(sent.id)
  const isModern = isMembers(params) && isMembers(params._meta) && VERSION in params._meta
  const refuse = (code: number, message: string): ApiError =>
    new ApiError(code === METHOD_NOT_FOUND && isModern ? 404 : 200, message, { code, members: { id } })
  const paramsOf = METHODS.get(method)
  if (paramsOf === undefined) throw refuse(METHOD_NOT_FOUND, 'there is no such method')
  try {
    if (!isMembers(params)) throw new WrongParams('params has to be an object')
    const own = { ...paramsOf(params), ...metaOf(params._meta) }
    const hasParams = Object.keys(own).length > 0
    const given = method === 'tools/call' ? takenOf(params.arguments) : {}
    return { message: { jsonrpc: '2.0', id, method, ...(hasParams && { params: own }) }, given, isNotification: false }
  } catch (error) {
    throw error instanceof WrongParams ? refuse(INVALID_PARAMS, error.message) : error
  }
}

class WrongParams extends Error {}

/**
 * The arguments of a tool; `undefined` if they are more values than any tool takes. Calls may wait, and a few bytes can
 * be very many values in memory.
 */
const takenOf = (given: unknown = {}): Members | undefined =>
  hasMoreValues(given, MAX_VALUES) ? undefined : (given as Members)

function hasMoreValues(given: unknown, most: number): boolean {
  const open = [given]
  let count = 0
  for (let value = open.pop(); value !== undefined; value = open.pop()) {
    if (typeof value !== 'object' || value === null) continue
    const members: readonly unknown[] = Array.isArray(value) ? value : Object.values(value)
    count += members.length
    if (count > most) return true
    open.push(...members)
  }
  return false
}

/** By method, the parameters that the package gets. */
const METHODS: ReadonlyMap<string, (params: Members) => object> = new Map<string, (params: Members) => object>([
  ['initialize', initializeOf],
  ['ping', () => ({})],
  ['server/discover', () => ({})],
  ['subscriptions/listen', () => ({ notifications: {} })],
  ['tools/call', callOf],
  ['tools/list', listOf]
])

function initializeOf({ protocolVersion, clientInfo }: Members): object {
  if (!isText(protocolVersion, MAX_VERSION)) throw new WrongParams('protocolVersion has to be a revision')
  return { protocolVersion, clientInfo: infoOf('clientInfo', clientInfo), capabilities: {} }
}

/** Lists have one page. */
function listOf({ cursor }: Members): object {
  if (cursor !== undefined) throw new WrongParams('there is no such cursor')
  return {}
}

function callOf({ name, arguments: given }: Members): object {
  if (!isText(name, MAX_NAME)) throw new WrongParams('there is no such tool')
  if (given !== undefined && !isMembers(given)) throw new WrongParams('arguments has to be an object')
  return { name }
}

function metaOf(meta: unknown): object {
  if (meta === undefined) return {}
  if (!isMembers(meta)) throw new WrongParams('_meta has to be an object')
  const own: Record<string, unknown> = {}
  if (VERSION in meta) {
    if (!isText(meta[VERSION], MAX_VERSION)) throw new WrongParams(`${VERSION} has to be a revision`)
    own[VERSION] = meta[VERSION]
  }
  if (CLIENT in meta) own[CLIENT] = infoOf(CLIENT, meta[CLIENT])
  if (CAPABILITIES in meta) {
    if (!isMembers(meta[CAPABILITIES])) throw new WrongParams(`${CAPABILITIES} has to be an object`)
    own[CAPABILITIES] = {}
  }
  return Object.keys(own).length > 0 ? { _meta: own } : {}
}

function infoOf(member: string, info: unknown): object {
  if (!isMembers(info) || typeof info.name !== 'string' || typeof info.version !== 'string')
    throw new WrongParams(`${member} has to have name and version`)
  return { name: info.name.slice(0, MAX_INFO), version: info.version.slice(0, MAX_INFO) }
}

/** @throws ApiError */
function idOf(id: unknown): string | number {
  if (isText(id, MAX_ID) || Number.isSafeInteger(id)) return id as string | number
  throw new ApiError(400, `id has to be an integer, or a text of at most ${MAX_ID} characters`)
}

const isText = (value: unknown, maxLength: number): value is string =>
  typeof value === 'string' && value.length <= maxLength

const isMembers = (value: unknown): value is Members =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Our own sentences in place of the package's, which would repeat what clients have sent (`path` of its validation). */
const SENTENCES: ReadonlyMap<unknown, string> = new Map([
  [METHOD_NOT_FOUND, 'there is no such method'],
  [INVALID_PARAMS, 'the parameters are not as the protocol says'],
  [-32_600, 'the body is no message of the protocol'],
  [-32_603, 'internal error'],
  [-32_020, 'MCP-Protocol-Version, Mcp-Method or Mcp-Name is missing, or differs from the message'],
  [-32_022, 'this revision of the protocol is not known here']
])
const SENTENCES_BY_STATUS: ReadonlyMap<number, string> = new Map([
  [400, 'MCP-Protocol-Version names no revision that is known here'],
  [406, 'Accept has to name application/json and text/event-stream'],
  [415, 'Content-Type has to be application/json']
])
/** Errors that this gateway has given to the package. */
export const NO_SUCH_TOOL = 'there is no such tool'
/** An error of the package is shorter: what it gets is. */
const MAX_ERROR = 16 * 1024

/** An answer of the package, whose errors have sentences of ours. */
export function ownAnswerOf(status: number, text: string): string {
  if (text === '' || text.length > MAX_ERROR) return text
  const answer = JSON.parse(text) as { readonly id?: unknown; readonly error?: PackageError }
  if (answer.error === undefined) return text
  const { code, message, data } = answer.error
  const own =
    message === NO_SUCH_TOOL
      ? message
      : (SENTENCES.get(code) ?? SENTENCES_BY_STATUS.get(status) ?? 'the request is not as the protocol says')
  // Clients choose one of the revisions that it names.
  const supported = Array.isArray(data?.supported) && { data: { supported: data.supported, requested: data.requested } }
  return JSON.stringify({ jsonrpc: '2.0', id: answer.id ?? null, error: { code, message: own, ...supported } })
}

interface PackageError {
  readonly code: number
  readonly message: string
  readonly data?: { readonly supported?: unknown; readonly requested?: unknown }
}
