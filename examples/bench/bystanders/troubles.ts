import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { groupOn, type Scene, type SceneCluster, troubledNode } from './scene.js'

/** A fault that lasts until it is stopped, while well-behaved clients work beside it. */
export interface Trouble {
  readonly name: string
  /** Whether the fault can also be caused on real Kafka, which has no fault injection. */
  readonly onKafka: boolean
  /** Prepares the fault before latencies are measured, so that the preparation is not measured. */
  prepare?(scene: Scene): Promise<void>
  start(scene: Scene): Promise<Running>
}
export interface Running {
  /** Ends the fault and returns how often it took effect: a fault without effect proves nothing. */
  stop(): Promise<number>
}

const GIVE_UP_MS = 1_000
const NO_ANSWER_CARES = (): void => {}

/** Repeats the work until it is stopped. The work may fail. */
function repeat(everyMs: number, work: () => unknown): Running {
  let isOn = true
  let times = 0
  const loop = (async () => {
    while (isOn) {
      await Promise.resolve(work()).catch(NO_ANSWER_CARES)
      times++
      await sleep(everyMs)
    }
  })()
  return {
    stop: async () => {
      isOn = false
      await loop
      return times
    }
  }
}

const together = (...running: Running[]): Running => ({
  stop: async () => Math.min(...(await Promise.all(running.map(each => each.stop()))))
})
const before = (running: Running, clear: () => unknown): Running => ({
  stop: async () => {
    const times = await running.stop()
    await clear()
    return times
  }
})

const record = (topic: string, value: string) => ({ topic, key: null, value })
const ignored = (answer: Promise<unknown>): void => void answer.catch(NO_ANSWER_CARES)
const read = ({ ask }: Scene, topic: string, partition = 0, offset = 0): void =>
  ignored(ask({ type: 'fetchData', topicPartition: { topic, partition }, offset, timeoutMs: GIVE_UP_MS }))
const commit = ({ ask }: Scene, groupId: string, topic: string, offset: number): void =>
  ignored(
    ask({
      type: 'commitConsumerOffset',
      groupId,
      topicPartition: { topic, partition: 0 },
      offsetAndMetadata: { offset },
      timeoutMs: GIVE_UP_MS
    })
  )

async function createOnce(cluster: SceneCluster, topic: string, partitions: number): Promise<void> {
  await cluster.createTopic(topic, partitions).catch(NO_ANSWER_CARES)
}

let invented = 0
const inventedNames: Trouble = {
  name: 'invented names',
  onKafka: true,
  start: async scene =>
    repeat(50, () => {
      for (let count = 0; count < 100; count++) {
        const name = `invented-${invented++}`
        read(scene, name)
        if (count % 5 === 0) ignored(scene.produce([record(name, 'never')], GIVE_UP_MS))
        if (count % 5 === 1) commit(scene, name, name, 1)
      }
    })
}

const leaderlessTopic: Trouble = {
  name: 'leaderless topic',
  onKafka: false,
  start: async scene => {
    await createOnce(scene.cluster, 'leaderless', 4)
    const match = { api: 'Metadata', topic: 'leaderless', count: Infinity } as const
    const fault = scene.faults!.add(match, { type: 'error', errorCode: 5 })
    const waiting = repeat(50, () => {
      for (let count = 0; count < 300; count++) read(scene, 'leaderless', count % 4, count)
      ignored(scene.produce([record('leaderless', 'waits')], GIVE_UP_MS))
    })
    return before(waiting, () => fault.remove())
  }
}

/** Overwrites a field of a frame with 2^60. The field is `bytesBehind` bytes after the name of the topic. */
const plant = (topic: string, bytesBehind: number) => (frame: Buffer) => {
  const at = frame.indexOf(topic)
  if (at >= 0) frame.writeBigInt64BE(2n ** 60n, at + topic.length + bytesBehind)
  return frame
}

const poisonedPartition: Trouble = {
  name: 'poisoned partition',
  onKafka: false,
  start: async scene => {
    const topic = 'poisoned'
    const { faults } = scene
    await createOnce(scene.cluster, topic, 1)
    // Between the name and the overwritten field: the number of partitions, a partition and, in some responses, its
    // error code.
    const armed = [
      faults!.add({ api: 'ListOffsets', topic, count: Infinity }, { type: 'corrupt', mutate: plant(topic, 10) }),
      faults!.add({ api: 'OffsetFetch', topic, count: Infinity }, { type: 'corrupt', mutate: plant(topic, 8) }),
      faults!.add({ api: 'OffsetCommit', topic, count: Infinity }, { type: 'error', errorCode: 35 })
    ]
    const topicPartition = { topic, partition: 0 }
    const asking = repeat(10, () => {
      ignored(scene.ask({ type: 'fetchOffset', topicPartition, offsetType: 'latest' }))
      ignored(scene.ask({ type: 'fetchConsumerOffset', groupId: 'poisoned', topicPartition, timeoutMs: GIVE_UP_MS }))
      commit(scene, 'poisoned', topic, 1)
    })
    return before(asking, () => {
      for (const fault of armed) fault.remove()
    })
  }
}

// The largest number of stuck groups that does not delay other groups: one less than the number of connections for
// group calls.
const STUCK_GROUPS = 3
const stuckCommit: Trouble = {
  name: 'stuck commit',
  onKafka: false,
  start: async scene => {
    const topic = 'stuck'
    await createOnce(scene.cluster, topic, 1)
    const match = { api: 'OffsetCommit', topic, count: Infinity } as const
    const fault = scene.faults!.add(match, { type: 'dropRequest' })
    let offset = 0
    const committing = repeat(20, () => {
      for (let group = 0; group < STUCK_GROUPS; group++) commit(scene, `stuck-${group}`, topic, offset++)
    })
    return before(committing, () => fault.remove())
  }
}

const BOMB_VALUES = Array.from({ length: 24 }, () => '\0'.repeat(900_000))
const decompressionBomb: Trouble = {
  name: 'decompression bomb',
  onKafka: true,
  prepare: async scene => {
    await createOnce(scene.cluster, 'bomb', 1)
    const batch = scene.seal(BOMB_VALUES, 'gzip')
    for (let count = 0; count < 4; count++) await scene.writeRaw({ topic: 'bomb', partition: 0 }, Buffer.from(batch))
  },
  start: async scene =>
    repeat(200, () => {
      for (let offset = 0; offset < 4 * BOMB_VALUES.length; offset += BOMB_VALUES.length) read(scene, 'bomb', 0, offset)
    })
}

const fullPartition: Trouble = {
  name: 'full partition',
  onKafka: false,
  start: async scene => {
    const topic = 'full'
    await createOnce(scene.cluster, topic, 1)
    const match = { api: 'Produce', topic, count: Infinity } as const
    const fault = scene.faults!.add(match, { type: 'error', errorCode: 19 })
    const value = 'x'.repeat(500_000)
    const filling = repeat(20, () => {
      for (let count = 0; count < 10; count++) ignored(scene.produce([record(topic, value)], 10 * GIVE_UP_MS))
      const body = JSON.stringify({ records: [{ topic, data: value }], wait_for_send: false })
      const headers = { 'content-type': 'application/json' }
      ignored(fetch(`${scene.url}/kprf/push`, { method: 'POST', headers, body }).then(response => response.text()))
    })
    return before(filling, () => fault.remove())
  }
}

const deletedTopic: Trouble = {
  name: 'deleted topic',
  onKafka: true,
  start: async scene => {
    const topic = 'doomed'
    const { cluster } = scene
    await createOnce(cluster, topic, 2)
    const using = repeat(10, () => {
      for (const partition of [0, 1]) read(scene, topic, partition)
      ignored(scene.produce([record(topic, 'perhaps')], GIVE_UP_MS))
      ignored(scene.ask({ type: 'fetchOffset', topicPartition: { topic, partition: 0 }, offsetType: 'latest' }))
      commit(scene, 'doomed', topic, 1)
    })
    const deleting = repeat(200, async () => {
      await cluster.deleteTopic(topic)
      await sleep(100)
      await createOnce(cluster, topic, 2)
    })
    return together(using, deleting)
  }
}

const SLOW_CLIENTS = 40
const slowClient: Trouble = {
  name: 'slow clients over HTTP',
  onKafka: true,
  start: async scene => {
    const { hostname, port } = new URL(scene.url)
    const head = `POST /kprf/push HTTP/1.1\r\nhost: ${hostname}:${port}\r\ncontent-type: application/json\r\n`
    const sockets: Socket[] = []
    for (let client = 0; client < SLOW_CLIENTS; client++) {
      const socket = connect(Number(port), hostname)
      socket.on('error', NO_ANSWER_CARES)
      socket.write(`${head}content-length: 1000000\r\n\r\n{"records":[`)
      sockets.push(socket)
    }
    const dripping = repeat(50, () => {
      for (const socket of sockets) if (socket.writable) socket.write(' ')
    })
    return before(dripping, () => {
      for (const socket of sockets) socket.destroy()
    })
  }
}

const pausedBroker: Trouble = {
  name: 'broker paused',
  onKafka: true,
  start: async scene => {
    const { cluster } = scene
    const topic = 'on-the-paused'
    const nodeId = troubledNode(cluster)
    await createOnce(cluster, topic, 1)
    await cluster.moveLeader(topic, 0, nodeId)
    const groupId = await groupOn(cluster, 'paused', true)
    await cluster.pauseNode(nodeId)
    const asking = repeat(20, () => {
      read(scene, topic)
      ignored(scene.produce([record(topic, 'waits')], GIVE_UP_MS))
      ignored(scene.ask({ type: 'fetchOffset', topicPartition: { topic, partition: 0 }, offsetType: 'latest' }))
      commit(scene, groupId, topic, 1)
    })
    return before(asking, () => cluster.resumeNode(nodeId))
  }
}

/** The order matters: each fault leaves the cluster in the state that the next one needs. */
export const troubles: readonly Trouble[] = [
  inventedNames,
  leaderlessTopic,
  poisonedPartition,
  stuckCommit,
  decompressionBomb,
  fullPartition,
  deletedTopic,
  slowClient,
  pausedBroker
]
