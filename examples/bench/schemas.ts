import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import { measureDelivered } from './push.js'
import { startBroker } from './tools/broker.js'
import { Child } from './tools/child.js'
import type { LoadReport, LoadRun } from './tools/load.js'
import type { BenchOptions } from './tools/options.js'
import { median, type Row } from './tools/report.js'
import { pushOne, startGateway } from './tools/servers.js'

const TOPIC = 'push'
const WINDOW = { connections: 256, warmUpMs: 500 }
const JSON_TYPE = 'application/vnd.kafka.json.v2+json'
const AVRO_TYPE = 'application/vnd.kafka.avro.v2+json'

const FIELDS = Array.from({ length: 30 }, (_, at) => ({ name: `field_${at}`, type: at % 3 === 0 ? 'long' : 'string' }))
const SCHEMA = JSON.stringify({ type: 'record', name: 'Order', fields: FIELDS })
/** About 1 KiB of JSON, as the schema of {@link startRegistry} has it. */
export const ORDER = Object.fromEntries(
  FIELDS.map(({ name, type }, at) => [name, type === 'long' ? at * 1e9 : `text ${at} of an order`])
)

interface Work {
  readonly name: string
  readonly records: number
  readonly type: string
  readonly isZipped?: boolean
  /** The work that it is compared with, and how many of its records a second it must reach. */
  readonly against?: string
  readonly leastRatio?: number
}

const works: readonly Work[] = [
  { name: 'json', records: 1, type: JSON_TYPE },
  { name: 'avro', records: 1, type: AVRO_TYPE, against: 'json', leastRatio: 0.45 },
  { name: 'json-100', records: 100, type: JSON_TYPE },
  { name: 'avro-100', records: 100, type: AVRO_TYPE, against: 'json-100', leastRatio: 0.5 },
  { name: 'gzip-100', records: 100, type: JSON_TYPE, isZipped: true, against: 'json-100', leastRatio: 0.5 }
]

function requestOf({ records, type, isZipped }: Work): Pick<LoadRun, 'body' | 'bodyEncoding' | 'type' | 'headers'> {
  const schema = type === AVRO_TYPE ? { value_schema_id: 1 } : {}
  const body = JSON.stringify({ ...schema, records: new Array(records).fill({ value: ORDER }) })
  if (!isZipped) return { body, type }
  const zipped = gzipSync(body).toString('base64')
  return { body: zipped, bodyEncoding: 'base64', type, headers: ['Content-Encoding: gzip'] }
}

/** A registry with one schema, which is that of the topic. */
export async function startRegistry() {
  const place = JSON.stringify({ subject: `${TOPIC}-value`, id: 1, version: 1, schema: SCHEMA })
  const server = createServer((request, response) => request.resume().on('end', () => response.end(place)))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, stop: () => server.close() }
}

/**
 * Version 2 of Confluent's API: Avro beside json, and gzip beside the same body as it is, of 1 and 100 records of 1 KiB.
 * The gateway knows the schema.
 */
export async function schemas({ seconds, rounds, only }: BenchOptions): Promise<readonly Row[]> {
  const [broker, registry] = [await startBroker({ topics: [{ topic: TOPIC, partitions: 4 }] }), await startRegistry()]
  const gateway = await startGateway(broker.bootstrap, [], undefined, [
    '--set',
    `schemas.registry.urls=${registry.url}`
  ])
  const { child: load } = await Child.start('./load.ts')
  const wanted = works.filter(({ name }) => only?.includes(name) ?? true)
  const chosen = works.filter(work => wanted.includes(work) || wanted.some(({ against }) => against === work.name))
  const reports = new Map<string, LoadReport[]>(chosen.map(({ name }) => [name, []]))
  try {
    await pushOne(gateway.port, TOPIC)
    // The first round warms up the compiler.
    for (let round = 0; round <= rounds; round++) {
      for (const work of chosen) {
        const request = {
          path: `/confluent/topics/${TOPIC}`,
          ...requestOf(work),
          ...WINDOW,
          measureMs: seconds * 1_000
        }
        const report = await measureDelivered(load, gateway, broker, work, ({ port, pid }) => ({
          port,
          pid,
          ...request
        }))
        if (round > 0) reports.get(work.name)!.push(report)
      }
    }
  } finally {
    await Promise.all([load.stop(), gateway.stop()])
    await broker.stop()
    registry.stop()
  }
  return chosen.map(work => rowOf(work, reports))
}

function rowOf({ name, records, against, leastRatio }: Work, reports: ReadonlyMap<string, readonly LoadReport[]>): Row {
  const of = (work: string, figure: (report: LoadReport) => number): number => median(reports.get(work)!.map(figure))
  const perSecond = ({ answered, seconds }: LoadReport): number => answered / seconds
  const row: Row = {
    work: name,
    value: of(name, perSecond) * records,
    unit: 'records/s',
    p50Ms: of(name, report => report.p50Ms),
    p99Ms: of(name, report => report.p99Ms),
    cpuUsPerRequest: of(name, report => report.cpuMicros / report.answered)
  }
  if (against === undefined) return row
  const ratio = of(name, perSecond) / of(against, perSecond)
  return { ...row, ratioRequests: ratio, against, note: `at least ${leastRatio}` }
}
