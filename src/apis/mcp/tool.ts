import { z } from 'zod'
import type { HeldRecords } from '../../core/record-budget.js'
import type { Caller } from '../../http/access/access.js'
import { authorize } from '../../http/api/endpoint.js'
import type { Exchange } from '../../http/exchange/exchange.js'
import type { VerbPath } from '../../verbs/facts.js'
import type { Operation } from '../../verbs/rights.js'
import type { Verbs } from '../../verbs/verbs.js'
import { ToolError } from './failures.js'
import type { McpParts } from './mcp-answers.js'

/** Entries of one page of a list. */
export const PAGE = 200

/** One call of a tool, on behalf of the client of a request. */
export interface ToolCall {
  readonly parts: McpParts
  readonly exchange: Exchange
  readonly caller: Caller
  /** The client whose limits count. */
  readonly client: string
  readonly tool: string
  /** The name of the cluster that the call is about, and its verbs. */
  readonly cluster: string
  readonly verbs: Verbs
  /** Aborted, with the error of the call, when the client has left or the process stops. */
  readonly signal: AbortSignal
  /** Says that from now on what the tool writes may be in Kafka. */
  readonly begins: () => void
  /** The bytes of records that its answer has, until it has left. */
  readonly held: HeldRecords
}

/** A tool: its description for agents, and the function that carries out its calls. */
export interface Tool {
  readonly name: string
  readonly description: string
  readonly input: z.ZodObject
  /** Schema of a successful result. Absent: only the description tells it. */
  readonly output?: z.ZodObject
  /** Agents list it who have one of these rights for anything. */
  readonly rights: readonly Operation[]
  /** True: it changes something. */
  readonly writes?: boolean
  /** True: it asks nothing outside of the process, and waits for no call that does. */
  readonly isOfProcess?: boolean
  /** @throws CastellanError, SchemaError, ToolError */
  run(call: ToolCall, args: unknown): Promise<object>
}

/** @param run gets the arguments as the input schema says */
export const tool = <Input extends z.ZodObject>(
  described: Omit<Tool, 'run' | 'input'> & { readonly input: Input },
  run: (call: ToolCall, args: z.output<Input>) => Promise<object>
): Tool => ({ ...described, run: (call, args) => run(call, args as z.output<Input>) })

/** Asks for the rights to a verb as a route of HTTP does. The audit log names the tool. @throws CastellanError */
export function requireRight(
  { caller, tool }: ToolCall,
  verb: VerbPath,
  named: { readonly topic?: string; readonly group?: string }
): void {
  const refusal = authorize(caller, verb, { ...named, tool })
  if (refusal !== undefined) throw refusal
}

/** @param given `undefined`: more than any tool takes @throws ToolError naming our own arguments that are wrong */
export function argumentsOf(input: z.ZodObject, given: unknown): unknown {
  if (given === undefined) throw new ToolError('invalidArguments')
  const parsed = input.safeParse(given)
  if (parsed.success) return parsed.data
  const known = Object.keys(input.shape)
  const wrong = parsed.error.issues.map(({ path: [name] }) => String(name)).filter(name => known.includes(name))
  throw new ToolError('invalidArguments', [...new Set(wrong)])
}

const MAX_TOPIC = 249
/** Longer names of groups are none that a client uses. */
const MAX_GROUP = 1_024

export const topicName = z.string().min(1).max(MAX_TOPIC)
export const groupName = z.string().min(1).max(MAX_GROUP)
/** Names of Kafka have at most 32,767 bytes. */
const MAX_CURSOR = 3 * 32_767
/** Rows of one page that have more bytes are left for the next one: who names a group chooses how long its row is. */
const MAX_PAGE_BYTES = 32 * 1024

export const cursor = z.string().max(MAX_CURSOR).optional().describe('next of the page before')

/** The cursor that goes on after a name: invisible characters of the name would not come back as they are. */
export const cursorAfter = (name: string): string => encodeURIComponent(name)

/** The name after which a cursor goes on. @throws ToolError where it is no cursor */
export function nameBefore(cursor: string | undefined): string | undefined {
  try {
    return cursor && decodeURIComponent(cursor)
  } catch {
    throw new ToolError('invalidArguments', ['cursor'])
  }
}

/** One page of names in their order. @throws ToolError where the cursor is none */
export function pageOf<Row>(
  names: readonly string[],
  cursor: string | undefined,
  rowOf: (name: string) => Row
): { readonly rows: readonly Row[]; readonly next?: string } {
  const after = nameBefore(cursor)
  const later = [...names].sort().filter(name => after === undefined || name > after)
  const rows = fittingRows(later.slice(0, PAGE).map(rowOf))
  return later.length > rows.length ? { rows, next: cursorAfter(later[rows.length - 1]!) } : { rows }
}

/** The first ones that fit into a page, one in any case. */
export function fittingRows<Row>(rows: readonly Row[]): readonly Row[] {
  let bytes = 0
  const tooMany = rows.findIndex((row, at) => {
    bytes += Buffer.byteLength(JSON.stringify(row))
    return at > 0 && bytes > MAX_PAGE_BYTES
  })
  return tooMany < 0 ? rows : rows.slice(0, tooMany)
}
