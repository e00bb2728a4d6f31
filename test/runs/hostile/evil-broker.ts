import type { SeededRandom } from '../../support/random.js'
import { ResponseBuilder } from '../../support/response-builder.js'
import { ScriptedBroker, type ScriptedRequest } from '../../support/scripted-broker.js'

const METADATA = 3
const FIRST_FLEXIBLE_METADATA = 9
const LONGEST_THROTTLE_MS = 2 ** 31 - 1

/** A cluster that nobody writes to and that answers the gateway's questions with lies, noise, too much, or not at all. */
export function startEvilBroker(random: SeededRandom): Promise<ScriptedBroker> {
  return ScriptedBroker.start((request, reply) => {
    switch (random.between(0, 8)) {
      case 0:
        return reply.close()
      case 1:
        return undefined
      case 2:
        return reply.raw(Buffer.from([0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]))
      case 3:
        return reply.raw(noise(random, 500))
      case 4:
        return reply.payload(noise(random, 200))
      case 5:
        return reply.payload(manyBrokers(request, 0x7fffffff, 0))
      case 6:
        return reply.payload(manyBrokers(request, 20_000, 20_000))
      case 7:
        return reply.payload(tooMuch(request, random))
      default:
        return reply.payload(manyBrokers(request, 3, 3))
    }
  })
}

const noise = (random: SeededRandom, maxBytes: number): Buffer =>
  Buffer.from(Array.from({ length: random.between(0, maxBytes) }, () => random.between(0, 255)))

/** As much as no cluster has: 100,000 brokers, a million topics, 3.3 million partitions. */
function tooMuch(request: ScriptedRequest, random: SeededRandom): Buffer {
  const isFlexible = request.apiKey === METADATA && request.apiVersion >= FIRST_FLEXIBLE_METADATA
  const kind = random.between(0, 2)
  if (kind === 0 || !isFlexible) return manyBrokers(request, 100_000, 100_000)
  return kind === 1 ? manyTopics(1_000_000, 1) : manyTopics(33, 100_000)
}

/** Made once: it is tens of megabytes. */
const made = new Map<number, Buffer>()

const TOPIC_DIGITS = 7
/** Behind the error code and the length of the name. */
const TOPIC_DIGITS_AT = 3

function topicWith(partitions: number): Buffer {
  const entry = new ResponseBuilder().int16(0).compactString('0'.repeat(TOPIC_DIGITS)).raw(Buffer.alloc(16, 1)).int8(0)
  entry.unsignedVarint(partitions + 1)
  for (let partition = 0; partition < partitions; partition++) {
    entry.int16(0).int32(partition).int32(1).int32(0)
    entry.unsignedVarint(2).int32(1).unsignedVarint(2).int32(1).unsignedVarint(1).unsignedVarint(0)
  }
  return entry.int32(0).unsignedVarint(0).payload
}

/** Metadata in version 12, with one broker. */
function manyTopics(topics: number, partitionsEach: number): Buffer {
  const known = made.get(topics)
  if (known) return known
  const answer = new ResponseBuilder().unsignedVarint(0).int32(0)
  answer.unsignedVarint(2).int32(1).compactString('127.0.0.1').int32(1).compactString(null).unsignedVarint(0)
  answer
    .compactString('evil')
    .int32(1)
    .unsignedVarint(topics + 1)
  const entry = topicWith(partitionsEach)
  const all = Buffer.alloc(entry.length * topics)
  for (let topic = 0; topic < topics; topic++) {
    entry.copy(all, topic * entry.length)
    all.write(String(topic).padStart(TOPIC_DIGITS, '0'), topic * entry.length + TOPIC_DIGITS_AT, 'latin1')
  }
  answer.raw(all)
  const payload = answer.unsignedVarint(0).payload
  made.set(topics, payload)
  return payload
}

/** Metadata with more brokers in its count than in its bytes, or simply with many. */
function manyBrokers({ apiKey, apiVersion }: ScriptedRequest, claimed: number, sent: number): Buffer {
  const answer = new ResponseBuilder()
  const isFlexible = apiKey === METADATA && apiVersion >= FIRST_FLEXIBLE_METADATA
  if (isFlexible) answer.unsignedVarint(0)
  answer.int32(LONGEST_THROTTLE_MS)
  if (isFlexible) answer.unsignedVarint(claimed + 1)
  else answer.int32(claimed)
  for (let nodeId = 0; nodeId < sent; nodeId++) {
    answer.int32(nodeId)
    if (isFlexible) answer.compactString('127.0.0.1').int32(1).compactString(null).unsignedVarint(0)
    else answer.string('127.0.0.1').int32(1).string(null)
  }
  if (isFlexible) return answer.compactString('evil').int32(0).unsignedVarint(1).unsignedVarint(0).payload
  return answer.string('evil').int32(0).int32(0).payload
}
