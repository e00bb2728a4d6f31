import { setTimeout as sleep } from 'node:timers/promises'
import { BatchView, HEADER_BYTES } from '../../../src/embedded-broker/protocol/record-batch.js'
import { codecNumbers, compress, prepareCompression } from '../../../src/kafka/compression.js'
import type { SeededRandom } from '../../support/random.js'
import { batchOf, RawKafka } from '../../support/raw-kafka.js'
import { produce } from '../../support/raw-kafka-calls.js'
import { RawSocket } from '../../support/raw-socket.js'
import type { Attack, Targets } from './http-attacks.js'

const MIB = 1024 * 1024

/** A few kilobytes that claim to be millions of records. */
async function createBomb(): Promise<Buffer> {
  await prepareCompression()
  const records = Buffer.alloc(2_000_000 * 7, Buffer.from([12, 0, 0, 0, 1, 1, 0]))
  const bytes = Buffer.concat([batchOf(['x']).subarray(0, HEADER_BYTES), compress('zstd', records)])
  bytes.writeInt32BE(bytes.length - 12, 8)
  bytes.writeInt16BE(codecNumbers.zstd, 21)
  bytes.writeInt32BE(1_999_999, 23)
  bytes.writeInt32BE(2_000_000, 57)
  new BatchView(bytes).sealCrc()
  return bytes
}
const bomb = createBomb()

const open = ({ broker }: Targets): Promise<RawSocket> => RawSocket.open(`http://${broker.host}:${broker.port}`)

async function hold(targets: Targets, random: SeededRandom, count: number, bytes: () => Buffer): Promise<undefined> {
  const all = await Promise.all(Array.from({ length: count }, () => open(targets).catch(() => undefined)))
  await Promise.all(all.map(socket => socket?.send(bytes())))
  await sleep(random.between(0, 1_000))
  for (const socket of all) socket?.reset()
  return undefined
}

const sized = (claimedBytes: number, sentBytes: number): Buffer => {
  const bytes = Buffer.alloc(4 + sentBytes)
  bytes.writeInt32BE(claimedBytes)
  return bytes
}

const noise = (random: SeededRandom): Buffer => {
  const bytes = Buffer.from(Array.from({ length: random.between(4, 400) }, () => random.between(0, 255)))
  // Mostly a length that fits, so that what follows is looked at.
  if (random.between(0, 3) > 0) bytes.writeInt32BE(bytes.length - 4)
  return bytes
}

/** Against the embedded broker, which serves the polite client's records meanwhile. */
export const brokerAttacks: Readonly<Record<string, Attack>> = {
  'noise instead of Kafka requests': (targets, random) => hold(targets, random, 20, () => noise(random)),
  'large requests that never become whole': (targets, random) => hold(targets, random, 10, () => sized(100 * MIB, MIB)),
  'requests with impossible lengths': (targets, random) =>
    hold(targets, random, 10, () => sized(random.pick([-1, 0, 3, 2 ** 31 - 1]), 100)),
  'a batch that unpacks to millions of records': async ({ broker }) => {
    const client = await RawKafka.connect(broker)
    try {
      const { errorCode } = await produce(client, 'attacked', 0, await bomb)
      return errorCode === 0 ? 'a bomb was taken' : undefined
    } finally {
      client.close()
    }
  }
}
