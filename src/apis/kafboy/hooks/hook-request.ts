import { isUtf8 } from 'node:buffer'
import { parseForm } from '../form.js'
import type { HookCall } from './hook-calls.js'
import type { KafboyField, KafboyHttpRequest, KafboyRequest } from './hooks.js'

type EditCall = Extract<HookCall, { readonly type: 'edit' }>

/** What a hook is given; `undefined`: the body is not what its type says. */
export function toHookRequest(call: EditCall, rawBody: Buffer): KafboyRequest | undefined {
  const content = call.isJson ? readJson(rawBody) : readForm(rawBody)
  if (content === undefined) return undefined
  const { topic, mode, head } = call
  let req: KafboyHttpRequest | undefined
  return {
    type: 'post',
    topic,
    mode,
    ...content,
    rawBody,
    // Most hooks do not look at it.
    get req() {
      return (req ??= readHead(head))
    }
  }
}

interface Content {
  readonly body: readonly KafboyField[]
  readonly json: unknown
}

function readJson(bytes: Buffer): Content | undefined {
  if (bytes.length === 0) return { body: [], json: undefined }
  if (!isUtf8(bytes)) return undefined
  try {
    const json: unknown = JSON.parse(bytes.toString())
    const isObject = typeof json === 'object' && json !== null && !Array.isArray(json)
    return { body: isObject ? Object.entries(json) : [], json }
  } catch {
    return undefined
  }
}

function readForm(bytes: Buffer): Content | undefined {
  const fields = parseForm(bytes)
  if (fields === undefined) return undefined
  const body: KafboyField[] = []
  for (const { name, value } of fields) {
    if (!isUtf8(name) || (value !== true && !isUtf8(value))) return undefined
    body.push([name.toString(), value === true ? true : value.toString()])
  }
  return { body, json: undefined }
}

/** The head as {@link HookCall} has it: no header can hold the end of a line. */
function readHead(head: string): KafboyHttpRequest {
  const [requestId = '', method = '', url = '', remoteAddress = '', ...rawHeaders] = head.split('\n')
  const headers: Record<string, string | undefined> = Object.create(null)
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]!.toLowerCase()
    const before = headers[name]
    headers[name] = before === undefined ? rawHeaders[at + 1] : `${before}, ${rawHeaders[at + 1]}`
  }
  return { requestId, method, url, headers, remoteAddress }
}
