import { execFile, spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { KafkaCluster } from './cluster.js'
import { requirePrograms } from './requirements.js'

/**
 * Writes test/data/partitioner-vectors.json: where Java's producer (kafka-clients) and librdkafka (kcat) put keys.
 * Run once by hand: `node --import tsx test/runs/real-kafka/make-partitioner-vectors.ts`.
 */
const partitionCounts = [1, 2, 3, 4, 7, 12, 100]

const keys = [
  Buffer.from(''),
  ...[
    'a',
    'ab',
    'abc',
    'abcd',
    'abcde',
    'abcdef',
    'abcdefg',
    'abcdefgh',
    'key',
    '0',
    '42',
    'user-1',
    'user-1000000'
  ].map(text => Buffer.from(text)),
  ...['é', 'ключ', '鍵', '🔑', 'e\u0301', '\u{10ffff}', ' ', '__proto__', 'constructor'].map(text => Buffer.from(text)),
  ...['00', '0000', '000000', '00000000', 'ff', 'ffff', 'ffffff', 'ffffffff', '80', '7f80', '007f80ff'].map(hex =>
    Buffer.from(hex, 'hex')
  ),
  Buffer.from(Array.from({ length: 256 }, (_, byte) => byte).filter(byte => byte !== 10)),
  Buffer.from('a long key '.repeat(100)),
  Buffer.alloc(1023, 0xa5)
]

interface Vector {
  readonly keyHex: string
  readonly partitions: number
  readonly partition: number
}

// Neither occurs in a key above.
const keyDelimiter = '<K>'
const recordDelimiter = '<R>'

async function crc32Vectors(bootstrap: string, partitions: number): Promise<Vector[]> {
  const topic = `vectors-${partitions}`
  await cluster.createTopic(topic, partitions)
  // librdkafka takes kcat's empty key as no key, which `consistent` hashes as the empty one.
  const input = Buffer.concat(
    keys.flatMap((key, index) => [key, Buffer.from(`${keyDelimiter}${index}${recordDelimiter}`)])
  )
  const producer = ['-P', '-b', bootstrap, '-t', topic, '-K', keyDelimiter, '-D', recordDelimiter]
  const kcat = spawn('kcat', [...producer, '-X', 'topic.partitioner=consistent'], {
    stdio: ['pipe', 'inherit', 'inherit']
  })
  kcat.stdin.end(input)
  const code = await new Promise(resolve => kcat.once('exit', resolve))
  if (code !== 0) throw new Error(`kcat ended with ${code}`)
  const consumer = ['-C', '-b', bootstrap, '-t', topic, '-e', '-q', '-f', '%s %p\\n']
  const { stdout } = await promisify(execFile)('kcat', consumer)
  const partitionOf = new Map(
    stdout
      .trim()
      .split('\n')
      .map(line => line.split(' ').map(Number) as [number, number])
  )
  return keys.map((key, index) => {
    const partition = partitionOf.get(index)
    if (partition === undefined) throw new Error(`key ${index} did not come back`)
    return { keyHex: key.toString('hex'), partitions, partition }
  })
}

async function murmur2Vectors(partitions: number): Promise<Vector[]> {
  return await Promise.all(
    keys.map(async key => {
      const keyHex = key.toString('hex')
      return { keyHex, partitions, partition: Number(await cluster.admin.ask('murmur2', partitions, keyHex)) }
    })
  )
}

requirePrograms('kcat')
const cluster = await KafkaCluster.start()
try {
  const murmur2: Vector[] = []
  const crc32: Vector[] = []
  for (const partitions of partitionCounts) {
    murmur2.push(...(await murmur2Vectors(partitions)))
    crc32.push(...(await crc32Vectors(cluster.bootstrap, partitions)))
  }
  const { stderr, stdout } = await promisify(execFile)('kcat', ['-V'])
  const librdkafka = /librdkafka [\d.]+/.exec(stdout + stderr)?.[0] ?? 'librdkafka'
  const madeBy =
    'node --import tsx test/runs/real-kafka/make-partitioner-vectors.ts; ' +
    `murmur2: Utils.toPositive(Utils.murmur2(key)) % partitions of kafka-clients ${cluster.version}; ` +
    `crc32: kcat -X topic.partitioner=consistent (${librdkafka}), read back from the partition it chose`
  const line = (vector: Vector): string => `    ${JSON.stringify(vector)}`
  const section = (vectors: readonly Vector[]): string => `[\n${vectors.map(line).join(',\n')}\n  ]`
  writeFileSync(
    join(import.meta.dirname, '../../data/partitioner-vectors.json'),
    `{\n  "madeBy": ${JSON.stringify(madeBy)},\n  "murmur2": ${section(murmur2)},\n  "crc32": ${section(crc32)}\n}\n`
  )
} finally {
  await cluster.stop()
}
