import { onAbort } from '../../core/ending.js'
import { counterFamily } from '../../core/metrics/family.js'
import { registerFamily } from '../../core/metrics/prometheus.js'
import type { HeldRecords } from '../../core/record-budget.js'
import type { Caller } from '../../http/access/access.js'
import type { Exchange } from '../../http/exchange/exchange.js'
import { CallTurns } from './call-turns.js'
import { bugFailure, failureOf, ToolError } from './failures.js'
import type { McpParts } from './mcp-answers.js'
import type { OwnMessage } from './message.js'
import { argumentsOf, type Tool, type ToolCall } from './tool.js'
import { describedTool, toolsOf, withCluster } from './tools.js'
import { visibleIn } from './words.js'

/** A request, on whose behalf tools are called. */
export interface ToolRequest {
  readonly exchange: Exchange
  readonly caller: Caller
  /** The client whose limits count. */
  readonly client: string
  /** The bytes of records that the answer has. */
  readonly held: HeldRecords
  /** Aborted, with the error of the call, when the client has left or the process stops. */
  readonly signal: AbortSignal
  /** Arguments of the tool that is called, as they came. `undefined`: more than any tool takes. */
  readonly given: OwnMessage['given']
}

const isOfStop = (reason: unknown): boolean => reason instanceof ToolError && reason.code === 'shuttingDown'

/** Clients of older revisions know the text only. */
function resultOf(told: object) {
  const result = visibleIn(told) as Record<string, unknown>
  return { content: [{ type: 'text' as const, text: JSON.stringify(result) }], structuredContent: result }
}

/** The tools of a gateway: lists them, and carries out their calls. */
export class ToolCalls {
  readonly #parts: McpParts
  readonly #tools: ReadonlyMap<string, Tool>
  readonly #described: ReadonlyMap<string, ReturnType<typeof describedTool>>
  readonly #inputs: ReadonlyMap<string, Tool['input']>
  readonly #turns = new CallTurns()
  /** Turns of tools that answer even when all other calls wait for Kafka. */
  readonly #ownTurns = new CallTurns()
  readonly #calls = counterFamily('castellan_mcp_calls_total', 'Calls of tools by agents')

  constructor(parts: McpParts) {
    this.#parts = parts
    this.#tools = toolsOf(parts.settings)
    const clusters = [...parts.verbsByCluster.keys()]
    const of = <Value>(make: (tool: Tool) => Value) =>
      new Map(Array.from(this.#tools, ([name, one]) => [name, make(one)]))
    this.#described = of(one => describedTool(one, clusters))
    this.#inputs = of(one => withCluster(one.input, clusters))
    registerFamily(parts.metrics.registry, this.#calls)
  }

  has(name: string): boolean {
    return this.#tools.has(name)
  }

  /** The tools for which the client has a right. */
  toolsFor(caller: Caller) {
    const isFor = ({ rights }: Tool): boolean => rights.some(right => caller.allows(right))
    return [...this.#described.values()].filter(({ name }) => isFor(this.#tools.get(name)!))
  }

  /** The result of a call. Never rejects. @param name of a tool that there is */
  async call(asked: ToolRequest, name: string) {
    let hasBegun = false
    const begins = (): void => {
      hasBegun = true
    }
    const ending = new AbortController()
    // While the process stops, the outcome of a record in flight is still answered.
    const stopListening = onAbort(asked.signal, () => {
      const { reason } = asked.signal
      if (!hasBegun || !isOfStop(reason)) ending.abort(reason)
    })
    try {
      const result = await this.#run({ ...asked, signal: ending.signal, begins }, name)
      this.#calls.series({ tool: name, outcome: 'ok' }).value++
      return resultOf(result)
    } catch (error) {
      const known = failureOf(error)
      if (known === undefined) {
        const { requestId } = asked.exchange
        this.#parts.log.error({ err: error, requestId }, 'a call of a tool failed unexpectedly')
      }
      const failure = known ?? bugFailure()
      this.#calls.series({ tool: name, outcome: failure.error }).value++
      const written = this.#tools.get(name)!.writes && { persisted: hasBegun ? 'unknown' : 'no' }
      return { ...resultOf({ ...written, ...failure }), isError: true }
    } finally {
      stopListening()
    }
  }

  async #run(asked: ToolRequest & Pick<ToolCall, 'begins'>, name: string): Promise<object> {
    const args = argumentsOf(this.#inputs.get(name)!, asked.given) as { readonly cluster?: string }
    const { cluster = 'default', ...own } = args
    const verbs = this.#parts.verbsByCluster.get(cluster)
    if (verbs === undefined) throw new ToolError('invalidArguments', ['cluster'])
    const tool = this.#tools.get(name)!
    const call = { ...asked, parts: this.#parts, tool: name, cluster, verbs }
    const turns = tool.isOfProcess ? this.#ownTurns : this.#turns
    return turns.run(asked.client, asked.signal, () => tool.run(call, own))
  }
}
