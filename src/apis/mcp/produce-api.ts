import { exactTimestamp } from '../../core/instants.js'
import type { ProduceRecord } from '../../core/model.js'
import type { ProduceAnswer, ProduceApi, ProduceHead, RefusedRequest } from '../../http/api/produce-route.js'
import { type Outcomes, produceOptionsOf } from '../../http/api/produce-route.js'
import { JSON_TYPE, statusByCode } from '../../http/exchange/modern-answers.js'
import type { ProduceOptions, Verbs } from '../../verbs/verbs.js'
import { failureOf, ToolError } from './failures.js'
import { bytesOf, type NotWritten, type Wanted, type Written } from './produce-tool.js'

interface Head extends ProduceHead {
  verbs?: Verbs | undefined
}

/** A request that is none of ours: another build has passed it on. */
const BAD_REQUEST = 400

/** Writes the record of a call of `produce_message`, once for each key. Its answers are read by the tool, in this process or another one. */
export class AgentRecords implements ProduceApi<Head> {
  readonly name = 'mcp'
  readonly namesOffsets = true
  /** The body is made by the tool. */
  readonly keepsCompressed = true
  readonly options: ProduceApi<Head>['options']
  readonly #verbsByCluster: ReadonlyMap<string, Verbs>

  constructor(verbsByCluster: ReadonlyMap<string, Verbs>, sync: ProduceOptions) {
    this.options = produceOptionsOf('mcp', sync)
    this.#verbsByCluster = verbsByCluster
  }

  readHead(): Head {
    return { isSync: true, isOwnForm: true }
  }

  /** @throws ToolError */
  readBody(body: Buffer, head: Head): readonly ProduceRecord[] {
    const { cluster, topic, key, value, encoding, headers, partition } = JSON.parse(body.toString()) as Wanted
    const verbs = this.#verbsByCluster.get(cluster)
    if (verbs === undefined) throw new ToolError('invalidArguments', ['cluster'])
    head.verbs = verbs
    const bytes = (part: string | null, of = encoding): Buffer | null => {
      const found = bytesOf(part, of)
      if (found === undefined) throw new ToolError('notBase64')
      return found
    }
    const all = headers.map(({ name, value, value_encoding }) => ({ key: name, value: bytes(value, value_encoding) }))
    return [{ topic, partition, key: bytes(key), value: bytes(value), headers: all }]
  }

  answer(outcomes: Outcomes): ProduceAnswer {
    const [outcome] = outcomes as Exclude<Outcomes, string>
    if (outcome === undefined || outcome === 'pending') return { status: 202, type: JSON_TYPE, body: '{}' }
    if (outcome.type === 'delivered') {
      const { partition, offset } = outcome
      const timestamp = exactTimestamp(outcome.timestampMs)
      return { status: 200, type: JSON_TYPE, body: JSON.stringify({ partition, offset, timestamp } satisfies Written) }
    }
    const { code, errorCode, message } = outcome
    return notWritten(statusByCode[code], { code, ...(errorCode !== undefined && { errorCode, detail: message }) })
  }

  refuse(error: unknown, _: RefusedRequest): ProduceAnswer | undefined {
    const failure = failureOf(error)
    return failure && notWritten(BAD_REQUEST, { code: failure.error })
  }

  broken(): ProduceAnswer {
    return notWritten(500, { code: 'internal' })
  }
}

const notWritten = (status: number, told: NotWritten): ProduceAnswer => ({
  status,
  type: JSON_TYPE,
  body: JSON.stringify(told)
})
