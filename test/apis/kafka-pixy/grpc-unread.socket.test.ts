import { once } from 'node:events'
import { expect } from 'chai'
import type { ConsumeManyResult } from '../../../src/consumer/group/consume-result.js'
import type { RecordHeader } from '../../../src/core/model.js'
import { until } from '../../http/server/stage.js'
import { FakeVerbs } from '../../support/fake-verbs.js'
import {
  answerOf,
  EMPTY_SETTINGS,
  framed,
  headersFrame,
  lengthField,
  messageFrame,
  openCall,
  PREFACE,
  varintField,
  widestWindow
} from '../../support/raw-grpc.js'
import { RawService } from './raw-service.js'

const MIB = 1024 * 1024
const CALLS = 40
const CONSUME = Buffer.concat([lengthField(2, 't'), lengthField(3, 'g'), varintField(4, 1)])

/** Gives a message of 1 MiB to everybody who asks. */
class LargeVerbs extends FakeVerbs {
  readonly #value = Buffer.alloc(MIB, 'x')
  headers: readonly RecordHeader[] = []
  given = 0

  override consume(...[, , , , { reply }]: Parameters<FakeVerbs['consume']>): () => void {
    this.given++
    const message = {
      topic: 't',
      partition: 0,
      offset: this.given,
      key: null,
      value: this.#value,
      headers: this.headers
    }
    const messages = { messages: [message], ack: () => undefined, release: () => void this.given-- }
    reply({ type: 'messages', messages } as unknown as ConsumeManyResult)
    return () => undefined
  }
}

describe("records in answers of Kafka-Pixy's gRPC service", function () {
  this.timeout(60_000)
  let verbs: LargeVerbs
  let service: RawService
  beforeEach(async () => {
    verbs = new LargeVerbs()
    service = await RawService.start({ verbs })
  })
  afterEach(() => service.stop())

  const holds = (isEnough: (bytes: number) => boolean): Promise<void> =>
    until(
      () => isEnough(service.records.heldBytes),
      'the held bytes of records, but',
      () => service.records.heldBytes
    )

  it('count until their clients have read them', async () => {
    const session = await service.connect()
    const stream = openCall(session, {}, 'ConsumeNAck').pause()
    stream.end(framed(CONSUME))
    await holds(bytes => bytes >= MIB)
    const answer = answerOf(stream)
    stream.resume()
    expect((await answer).status).to.equal('0')
    await holds(bytes => bytes === 0)
  })

  it('count with the memory that their headers take', async () => {
    verbs.headers = Array.from({ length: 20_000 }, () => ({ key: '', value: null }))
    const session = await service.connect()
    const stream = openCall(session, {}, 'ConsumeNAck').pause()
    stream.end(framed(CONSUME))
    await holds(bytes => bytes >= 4 * MIB)
    stream.close()
    await holds(bytes => bytes === 0)
  })

  it('count where a client asks for everything at once and reads nothing, and not after it is gone', async () => {
    const socket = service.connectTcp()
    await once(socket, 'connect')
    socket.pause()
    const calls = Array.from({ length: CALLS }, (_, at) => 2 * at + 1)
    const frames = calls.flatMap(at => [headersFrame(at, '/KafkaPixy/ConsumeNAck'), messageFrame(at, CONSUME)])
    socket.write(Buffer.concat([PREFACE, EMPTY_SETTINGS, widestWindow(), ...frames]))
    await until(
      () => verbs.given >= CALLS,
      `${CALLS} answered calls, but`,
      () => verbs.given
    )
    await service.until('kafka_pixy_open_calls', '0')
    // The kernel takes some of them.
    expect(service.records.heldBytes).to.be.at.least((CALLS / 2) * MIB)
    socket.destroy()
    await holds(bytes => bytes === 0)
  })
})
