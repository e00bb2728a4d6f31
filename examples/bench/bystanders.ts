import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ApiName, Fault } from 'castellan'
import { noProducer, RecordBatchWriter } from '../../src/kafka/record-batch-writer.js'
import { buildScene } from './bystanders/build-scene.js'
import { type InnocentName, Innocents, innocentNames, type Watched } from './bystanders/innocents.js'
import { askedByClients, groupOn } from './bystanders/scene.js'
import { type Trouble, troubles } from './bystanders/troubles.js'
import { loadCastellan } from './tools/in-process.js'
import type { BenchOptions } from './tools/options.js'
import { OWN_FOLDER } from './tools/own-folder.js'
import type { Row } from './tools/report.js'

const DEADLINE_MS = 30_000
const FRESH_TOPICS_PER_WINDOW = 10
const RAW_BATCH_BYTES = 32 * 1024 * 1024
const SETTLE_MS = 500

/**
 * Runs well-behaved clients beside one fault after another, all in this process with an embedded cluster. Compares the
 * worst latency of each client during the fault with its worst latency before and after, without a fault.
 */
export async function bystanders({ seconds, only }: BenchOptions): Promise<readonly Row[]> {
  const wanted = troubles.filter(({ name }) => only?.includes(name) ?? true)
  const { scene, close } = await openScene((wanted.length + 2) * FRESH_TOPICS_PER_WINDOW)
  const innocents = new Innocents(scene, await groupOn(scene.cluster, 'innocents', false), DEADLINE_MS)
  const watch = async (trouble?: Trouble): Promise<Watched> => {
    await trouble?.prepare?.(scene)
    innocents.start(FRESH_TOPICS_PER_WINDOW)
    const running = await trouble?.start(scene)
    await sleep(seconds * 1000)
    const watched = await Promise.all([running?.stop(), innocents.stop()]).then(([, watch]) => watch)
    await sleep(SETTLE_MS)
    if (watched.wrong.length > 0) throw new Error(`beside ${trouble?.name ?? 'nothing'}: ${watched.wrong[0]}`)
    return watched
  }
  try {
    // The first window warms up the compiler and opens the connections.
    await watch()
    const quiet = [await watch()]
    const disturbed: (readonly [Trouble, Watched])[] = []
    for (const trouble of wanted) disturbed.push([trouble, await watch(trouble)])
    quiet.push(await watch())
    const base = Object.fromEntries(innocentNames.map(name => [name, Math.max(...quiet.map(of => worst(of, name)))]))
    return [toRow('undisturbed', base), ...disturbed.map(([trouble, of]) => toRow(trouble.name, base, of))]
  } finally {
    await close()
  }
}

const worst = ({ latenciesMs }: Watched, name: InnocentName): number => Math.max(0, ...latenciesMs[name])

function toRow(work: string, base: Readonly<Record<string, number>>, watched?: Watched): Row {
  const worstMs = (name: InnocentName): number => (watched ? worst(watched, name) : base[name]!)
  const ratios = innocentNames.map(name => worstMs(name) / base[name]!)
  const timesUndisturbed = Math.max(...ratios)
  const each = innocentNames.map((name, at) => `${name} ${Math.round(worstMs(name))} (${ratios[at]!.toFixed(1)}×)`)
  const value = Math.max(...innocentNames.map(worstMs))
  return { work, value, unit: 'ms, the worst', timesUndisturbed, note: each.join(', ') }
}

async function openScene(freshTopics: number) {
  const { startEmbeddedCluster, openCastellan, startApp, loadConfig, askRouter, silentLogger } = await loadCastellan()
  const broker = await startEmbeddedCluster({ nodes: 3 })
  const castellan = await openCastellan({ brokers: broker.bootstrap })
  const ports = { 'http.port': '0', 'management.port': '0' }
  const settings = { 'clusters.default.brokers': broker.bootstrap, ...ports, 'wal.directory': join(OWN_FOLDER, 'wal') }
  const flags = Object.entries(settings).map(([path, value]) => ({ flag: path, path: path.split('.'), value }))
  const app = await startApp(loadConfig({ flags }), { log: silentLogger, version: '0.0.0-bench' })
  const silences = new Map<number, readonly Fault[]>()
  const cluster = {
    nodeIds: broker.nodes.map(({ nodeId }) => nodeId),
    createTopic: async (topic: string, partitions: number) =>
      broker.createTopic(topic, { partitions, replicationFactor: 3 }),
    deleteTopic: async (topic: string) => broker.deleteTopic(topic),
    moveLeader: async (topic: string, partition: number, nodeId: number) => broker.moveLeader(topic, partition, nodeId),
    pauseNode: async (nodeId: number) => {
      const silence = (api: ApiName) => broker.faults.add({ api, nodeId, count: Infinity }, { type: 'dropRequest' })
      silences.set(nodeId, askedByClients.map(silence))
    },
    resumeNode: async (nodeId: number) => {
      for (const fault of silences.get(nodeId) ?? []) fault.remove()
    }
  }
  const scene = await buildScene({
    ...castellan,
    produce: (records, deadlineMs) => castellan.produce(records, { partitioner: 'crc32', deadlineMs }),
    bootstrap: broker.bootstrap,
    url: app.urls.shared!,
    cluster,
    faults: broker.faults,
    askRouter,
    freshTopics,
    seal: (values, codec) => {
      const writer = new RecordBatchWriter(RAW_BATCH_BYTES)
      for (const value of values) writer.append(null, value, undefined, Date.now())
      return Buffer.from(writer.seal({ ...noProducer, codec }))
    }
  })
  const close = async (): Promise<void> => {
    await app.stop()
    await castellan.close({ timeoutMs: 0 })
    await broker.close()
  }
  return { scene, close }
}
