import type { SeededRandom } from '../support/random.js'
import { ResponseBuilder } from '../support/response-builder.js'
import { ScriptedBroker, type ScriptedRequest } from '../support/scripted-broker.js'

const METADATA = 3
const FIRST_FLEXIBLE_METADATA = 9
const LONGEST_THROTTLE_MS = 2 ** 31 - 1

/** A cluster that nobody writes to and that answers the gateway's questions with lies, noise, too much, or not at all. */
export function startEvilBroker(random: SeededRandom): Promise<ScriptedBroker> {
  return ScriptedBroker.start((request, reply) => {
    switch (random.between(0, 7)) {
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
      default:
        return reply.payload(manyBrokers(request, 3, 3))
    }
  })
}

const noise = (random: SeededRandom, maxBytes: number): Buffer =>
  Buffer.from(Array.from({ length: random.between(0, maxBytes) }, () => random.between(0, 255)))

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
