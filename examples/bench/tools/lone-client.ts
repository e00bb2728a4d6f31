import { noProducer, RecordBatchWriter } from '../../../src/kafka/record-batch-writer.js'
import { bodyOf, single } from '../push.js'
import { answerParent } from './child.js'
import { HttpConnection, postRequest } from './http-connection.js'
import { latencyHistogram, type Percentiles, percentiles } from './percentiles.js'
import { RawConnection } from './raw-connection.js'

export interface LoneSetup {
  readonly bootstrap: string
  readonly gatewayPort: number
  readonly topic: string
}
export interface LoneRun {
  readonly warmUpMs: number
  readonly measureMs: number
}
export interface LoneReport extends Percentiles {
  /** The number of records sent in the whole run, including the warm-up. The log must have all of them. */
  readonly records: number
}

const API_PRODUCE = 0
const API_VERSION = 3
const CLIENT_ID = 'bench'
const TIMEOUT_MS = 10_000

let bare: RawConnection
let frame: Buffer
let http: HttpConnection
let request: Buffer
let answered: (status: number) => void = () => {}

async function start({ bootstrap, gatewayPort, topic }: LoneSetup) {
  const [host, port] = bootstrap.split(',')[0]!.split(':')
  bare = await RawConnection.open(host!, Number(port))
  frame = produceFrame(topic, await batchOf(single))
  request = postRequest('/kprf/push', Buffer.from(bodyOf(topic, [single], true)))
  http = new HttpConnection('127.0.0.1', gatewayPort, {
    answered: (_, status) => answered(status),
    lost: () => process.exit(1)
  })
  await http.opened()
  return {}
}

async function batchOf(value: string): Promise<Buffer> {
  const writer = new RecordBatchWriter(64 * 1024)
  writer.append(null, value, undefined, Date.now())
  return writer.seal({ ...noProducer, codec: 'none' })
}

/**
 *   size:i32 apiKey:i16 version:i16 correlationId:i32 clientId:string transactionalId:string acks:i16 timeoutMs:i32
 *   topics[name partitions[partition:i32 records:bytes]]
 */
function produceFrame(topic: string, batch: Buffer): Buffer {
  const bytes = Buffer.alloc(128 + Buffer.byteLength(topic) + batch.length)
  let at = 4
  const int16 = (value: number) => (at = bytes.writeInt16BE(value, at))
  const int32 = (value: number) => (at = bytes.writeInt32BE(value, at))
  const string = (value: string) => (at = int16(Buffer.byteLength(value)) + bytes.write(value, at))
  for (const value of [API_PRODUCE, API_VERSION]) int16(value)
  int32(1)
  string(CLIENT_ID)
  for (const value of [-1, -1]) int16(value)
  for (const value of [TIMEOUT_MS, 1]) int32(value)
  string(topic)
  for (const value of [1, 0, batch.length]) int32(value)
  at += batch.copy(bytes, at)
  bytes.writeInt32BE(at - 4, 0)
  return bytes.subarray(0, at)
}

/** After size and correlation id: topics[name partitions[partition:i32 error:i16 …]]. */
async function produceBare(): Promise<void> {
  const answer = await bare.call(frame)
  const nameAt = 4 + 4 + 4
  const errorCode = answer.readInt16BE(nameAt + 2 + answer.readInt16BE(nameAt) + 4 + 4)
  if (errorCode !== 0) throw new Error(`Produce was answered with code ${errorCode}`)
}

async function push(): Promise<void> {
  const status = await new Promise<number>(resolve => {
    answered = resolve
    http.send(request)
  })
  if (status !== 200) throw new Error(`a push was answered ${status}`)
}

async function measure(once: () => Promise<void>, { warmUpMs, measureMs }: LoneRun) {
  const micros = latencyHistogram()
  let records = 0
  const until = async (endsAtMs: number): Promise<void> => {
    while (performance.now() < endsAtMs) {
      const sentAtMs = performance.now()
      await once()
      micros.recordValue(Math.round((performance.now() - sentAtMs) * 1_000))
      records++
    }
  }
  await until(performance.now() + warmUpMs)
  micros.reset()
  await until(performance.now() + measureMs)
  return { ...percentiles(micros), records } satisfies LoneReport
}

answerParent({
  start,
  bare: (run: LoneRun) => measure(produceBare, run),
  push: (run: LoneRun) => measure(push, run)
})
