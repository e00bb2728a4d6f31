import { expect } from 'chai'
import { KafkaError, TimedOutError, UnavailableError } from '../../../src/core/errors.js'
import type { BrokerClient, ProduceCall } from '../../../src/kafka/broker-client.js'
import type { BatchAnswer } from '../../../src/router/messages/operations.js'
import type { BatchesCall } from '../../../src/router/processors/batch-line.js'
import { notSent, ProduceAdmission, produceBatch } from '../../../src/router/processors/produce-admission.js'
import { kafkaFailure, ownFailure } from '../../../src/router/requests/failures.js'
import { answerTimedOut, answerUnknown, fail, type OpenRequest } from '../../../src/router/requests/open-requests.js'
import { produceResponse } from '../../support/produced.js'
import { ProcessorStage } from './stage.js'

type PartitionProducer = 'main' | 'slow' | 'newTopics'

class ProduceStage extends ProcessorStage {
  readonly produce = new ProduceAdmission({
    requestMaxBytes: 100,
    brokerTimeoutMs: 1_500,
    callMarginMs: 1_500,
    now: () => this.now
  })

  /** The batch that was added last. */
  added: OpenRequest<'produceBatch'> | undefined

  add(partition: number, bytes = 10, topic = 'orders', isOfNewTopic = false): BatchAnswer[] {
    const answers: BatchAnswer[] = []
    const batch = {
      topic,
      partition,
      bytes: Buffer.alloc(bytes),
      answer: (answer: BatchAnswer) => answers.push({ ...answer })
    }
    const accepted = this.openRequests.accept(produceBatch, batch as never, 5_000, this.now)
    accepted.partition = this.partition(topic, partition, isOfNewTopic ? 30_000 : undefined)
    this.added = accepted
    this.produce.addToQueue(accepted)
    return answers
  }

  answer(call: BatchesCall, codes: Readonly<Record<number, number>>, producer: PartitionProducer = 'main') {
    const partitions = Object.entries(codes).map(([partition, errorCode]) => ({
      topic: 'orders',
      partition: Number(partition),
      errorCode,
      baseOffset: errorCode === 0 ? 40 : -1
    }))
    const asked = call.batches.map(({ request }) => request)
    return this.produce[producer].processResponse(call, produceResponse(asked, partitions))
  }
}

const partitionsOf = (call: BatchesCall | undefined): string[] => (call?.batches ?? []).map(({ key }) => key)

describe('produce processor', () => {
  let stage: ProduceStage
  beforeEach(() => (stage = new ProduceStage()))
  const next = (producer: PartitionProducer = 'main') => stage.produce[producer].nextCall()!

  it('sends everything that waits in one call, one batch per partition', () => {
    for (const partition of [0, 1, 2, 1]) stage.add(partition)
    expect(partitionsOf(next())).to.deep.equal(['orders/0', 'orders/1', 'orders/2'])
    expect(partitionsOf(next())).to.deep.equal(['orders/1'])
    expect(stage.produce.main.isEmpty).to.equal(true)
  })

  it('has the batches of a topic next to each other, topics and their batches in the order in which they came', () => {
    const waiting = Array.from({ length: 40 }, (_, at) => [`t${(at * 7) % 5}`, (at * 3) % 8] as const)
    for (let round = 0; round < 3; round++) {
      for (const [topic, partition] of waiting) stage.add(partition, 1, topic)
      const topics = [...new Set(waiting.map(([topic]) => topic))]
      const expected = topics.flatMap(topic => {
        const partitions = waiting.filter(([of]) => of === topic).map(([, partition]) => partition)
        return Array.from(new Set(partitions), partition => `${topic}/${partition}`)
      })
      const call = partitionsOf(next())
      expect(call).to.deep.equal(expected)
      waiting.sort(([one], [other]) => (one.at(-1)! < other.at(-1)! ? 1 : -1))
      while (!stage.produce.main.isEmpty) next()
    }
  })

  it('keeps a request below its limit, and partitions in turn', () => {
    for (const partition of [0, 1, 2]) stage.add(partition, 45)
    stage.add(0, 45)
    expect(partitionsOf(next())).to.deep.equal(['orders/0', 'orders/1'])
    expect(partitionsOf(next())).to.deep.equal(['orders/2', 'orders/0'])
  })

  it('sends a batch larger than the limit alone', () => {
    stage.add(0, 500)
    stage.add(1)
    expect(partitionsOf(next())).to.deep.equal(['orders/0'])
    expect(partitionsOf(next())).to.deep.equal(['orders/1'])
  })

  it('sends no more than 2,000 batches in one call, and the later batch of a partition behind all others', () => {
    for (let partition = 0; partition < 2_001; partition++) stage.add(partition, 0)
    stage.add(0, 0)
    stage.add(0, 1)
    expect(next().batches.length).to.equal(2_000)
    expect(partitionsOf(next())).to.deep.equal(['orders/2000', 'orders/0'])
    expect(partitionsOf(next())).to.deep.equal(['orders/0'])
    expect(stage.produce.main.isEmpty).to.equal(true)
  })

  it('has one batch of a partition in a call when its topic was found anew meanwhile', () => {
    stage.add(0, 1)
    stage.add(1, 2)
    stage.add(0, 3)
    stage.findAnew()
    for (const partition of [1, 2]) stage.add(partition, 4)
    stage.findAnew()
    stage.add(0, 5)
    const calls: string[][] = []
    while (!stage.produce.main.isEmpty)
      calls.push(next().batches.map(({ key, request }) => `${key}: ${request.bytes.length}`))
    expect(calls).to.deep.equal([
      ['orders/0: 1', 'orders/1: 2', 'orders/2: 4'],
      ['orders/0: 3', 'orders/1: 4'],
      ['orders/0: 5']
    ])
  })

  it('has the batches of a topic next to each other that was found anew', () => {
    for (const [topic, partition] of [
      ['customers', 0],
      ['orders', 0],
      ['returns', 0]
    ] as const)
      stage.add(partition, 1, topic)
    stage.findAnew()
    for (const topic of ['orders', 'customers']) stage.add(1, 1, topic)
    expect(partitionsOf(next())).to.deep.equal(['customers/0', 'customers/1', 'orders/0', 'orders/1', 'returns/0'])
  })

  it('finds the batch of each answer in whatever order a broker answers, and hears each once', () => {
    const answers = [0, 1, 2, 3].map(partition => stage.add(partition))
    const call = next()
    notSent(call.batches[1]!, 'noLeader')
    const partitions = [0, 3, 2, 2, 9].map((partition, at) => ({
      topic: 'orders',
      partition,
      baseOffset: at
    }))
    const asked = call.batches.map(({ request }) => request)
    stage.produce.main.processResponse(call, produceResponse(asked, partitions))
    const offsets = answers.map(given => given.map(answer => (answer.type === 'appended' ? answer.baseOffset : 'none')))
    expect(offsets).to.deep.equal([[0], ['none'], [2], [1]])
  })

  it('answers each batch with its own partition', () => {
    const [good, bad] = [stage.add(0), stage.add(1)]
    stage.answer(next(), { 0: 0, 1: 10 })
    expect(good).to.deep.equal([{ type: 'appended', baseOffset: 40, logAppendTimeMs: -1 }])
    expect(bad).to.deep.equal([{ type: 'rejected', errorCode: 10 }])
  })

  it('has done with a batch only when it was appended', () => {
    const requests = [0, 1, 2, 3].map(partition => {
      stage.add(partition)
      return stage.added!
    })
    const call = next()
    notSent(requests[3]!, 'noLeader')
    stage.answer(call, { 0: 0, 1: 6, 3: 0 })
    expect(requests.map(({ settled, isOver }) => [settled, isOver])).to.deep.equal([
      [true, true],
      [true, false],
      [true, false],
      [true, false]
    ])
  })

  it('says nobody knows where a response leaves a partition out', () => {
    const left = stage.add(0)
    stage.answer(next(), {})
    expect(left[0]?.type).to.equal('unanswered')
  })

  it('tells the Router to look again where the leader was the wrong one, and never retries itself', () => {
    const answers = stage.add(3)
    const returned = stage.answer(next(), { 3: 6 })
    expect(returned).to.deep.equal([{ reason: 'notLeader', requests: [], topic: 'orders', partition: 3 }])
    expect(answers).to.deep.equal([{ type: 'rejected', errorCode: 6 }])
    expect(stage.produce.main.isEmpty && stage.produce.slow.isEmpty).to.equal(true)
  })

  for (const errorCode of [7, 19]) {
    it(`moves a partition that answered ${errorCode} to the second connection until it is healthy`, () => {
      stage.add(0)
      stage.answer(next(), { 0: errorCode })
      stage.add(0)
      stage.add(1)
      expect(partitionsOf(next())).to.deep.equal(['orders/1'])
      stage.answer(next('slow'), { 0: 0 }, 'slow')
      stage.add(0)
      expect(partitionsOf(next())).to.deep.equal(['orders/0'])
    })
  }

  it('moves partitions whose call timed out, too; nobody knows what became of their batches', () => {
    const answers = stage.add(0)
    expect(stage.produce.main.callFailed(next(), new TimedOutError('produce', 1), true)).to.deep.equal([])
    expect(answers[0]?.type).to.equal('unanswered')
    stage.add(0)
    expect(partitionsOf(next('slow'))).to.deep.equal(['orders/0'])
  })

  describe('partitions that make their calls slow', () => {
    const SLOW = new Set<number>()
    const QUICK_MS = 5
    const SLOW_MS = 1_000
    beforeEach(() => SLOW.clear())

    /** Sends the next call of a queue; the broker answers when its slowest partition is written. */
    async function exchange(producer: PartitionProducer): Promise<number[]> {
      const call = next(producer)
      if (call === undefined) return []
      await stage.produce[producer].send({ produce: async () => [] } as unknown as BrokerClient, call)
      const partitions = call.batches.map(({ request }) => request.partition)
      stage.now += partitions.some(partition => SLOW.has(partition)) ? SLOW_MS : QUICK_MS
      stage.answer(call, Object.fromEntries(partitions.map(partition => [partition, 0])), producer)
      return partitions
    }

    /** All partitions are written to at once. @returns the calls on the shared connection, and those on the other one */
    async function round(count: number): Promise<{ main: number[][]; slow: number[][] }> {
      for (let partition = 0; partition < count; partition++) stage.add(partition, 1)
      const calls = { main: [] as number[][], slow: [] as number[][] }
      for (const producer of ['main', 'slow'] as const) {
        while (!stage.produce[producer].isEmpty) calls[producer].push(await exchange(producer))
      }
      return calls
    }
    const rounds = async (times: number, count: number) => {
      for (let at = 0; at < times; at++) await round(count)
      return await round(count)
    }

    it('are alone on the other connection after a few calls, and the others are not delayed any more', async () => {
      SLOW.add(33).add(34)
      const { main, slow } = await rounds(8, 100)
      expect(main.flat()).to.have.length(98)
      expect(slow.flat()).to.have.members([33, 34])
    })

    it('are not suspected for one slow call', async () => {
      SLOW.add(3)
      await round(10)
      SLOW.clear()
      await round(10)
      SLOW.add(4)
      await round(10)
      expect((await round(10)).main.flat()).to.have.length(10)
    })

    it('come back after a quick call, and each is alone in a call from time to time, so that it is not held by others', async () => {
      SLOW.add(3).add(4)
      await rounds(8, 10)
      SLOW.delete(3)
      const { slow } = await rounds(8, 10)
      expect(slow).to.deep.equal([[4]])
      SLOW.clear()
      await round(10)
      expect((await round(10)).slow).to.deep.equal([])
    })

    it('are none where all calls are slow: the broker is', async () => {
      for (let partition = 0; partition < 100; partition++) SLOW.add(partition)
      const { main, slow } = await rounds(8, 100)
      expect([main.length, slow.length]).to.deep.equal([1, 0])
      SLOW.clear()
      await round(100)
      SLOW.add(7)
      expect((await rounds(8, 100)).slow, 'a quick call has shown that the broker is not slow any more').to.deep.equal([
        [7]
      ])
    })

    it('are told from those that share a call with them when it times out', async () => {
      for (let partition = 0; partition < 8; partition++) stage.add(partition)
      stage.produce.main.callFailed(next(), new TimedOutError('produce', 1), true)
      SLOW.add(5)
      const { slow } = await rounds(4, 8)
      expect(slow).to.deep.equal([[5]])
    })
  })

  it('gives back what never left', () => {
    const answers = stage.add(0)
    const error = new UnavailableError('brokerUnreachable', 'refused')
    expect(stage.produce.main.callFailed(next(), error, false)).to.have.length(1)
    expect(answers).to.have.length(0)
  })

  it('does not send a batch that was given back while the connection was being opened', async () => {
    stage.add(0)
    stage.add(1)
    const sent: number[][] = []
    const client = {
      produce: async ({ partitions }: ProduceCall) => {
        sent.push(partitions.map(({ partition }) => partition))
        return produceResponse([], [])
      }
    } as unknown as BrokerClient
    const call = next()
    notSent(call.batches[0]!, 'noLeader')
    await stage.produce.main.send(client, call)
    expect(sent).to.deep.equal([[1]])
    stage.add(2)
    const another = next()
    notSent(another.batches[0]!, 'noLeader')
    expect(await stage.produce.main.send(client, another)).to.deep.equal(produceResponse([], []))
    expect(sent).to.have.length(1)
  })

  it('does not send a batch whose time ran out while it waited', () => {
    const batch = { topic: 'orders', partition: 0, bytes: Buffer.alloc(1), answer() {} }
    const accepted = stage.openRequests.accept(produceBatch, batch, 5_000, 0)
    accepted.partition = stage.partition('orders', 0)
    stage.produce.addToQueue(accepted)
    accepted.answer({ type: 'notSent', reason: 'noLeader', message: '' })
    expect(next()).to.equal(undefined)
  })

  it('gives a call the time that replicas, the journey and its bytes at 1 MiB/s may take', async () => {
    const calls: ProduceCall[] = []
    const client = { produce: async (call: ProduceCall) => calls.push(call) } as unknown as BrokerClient
    for (const bytes of [2_048, 2_049]) {
      stage.add(0, bytes)
      await stage.produce.main.send(client, next())
    }
    expect(calls.map(({ acks, brokerTimeoutMs, timeoutMs }) => [acks, brokerTimeoutMs, timeoutMs])).to.deep.equal([
      [-1, 1_500, 3_002],
      [-1, 1_500, 3_003]
    ])
    const [{ partitions }] = calls as [ProduceCall]
    expect(partitions.map(({ topic, partition, bytes }) => [topic, partition, bytes])).to.deep.equal([
      ['orders', 0, Buffer.alloc(2_048)]
    ])
    expect(stage.added?.state.inFlight).to.equal(true)
  })

  it('names each of its queues, and the topics of a call', () => {
    const { main, newTopics, slow } = stage.produce
    expect([main, newTopics, slow].map(({ name }) => name)).to.deep.equal([
      'produce',
      'produceNewTopics',
      'produceSlow'
    ])
    stage.add(0)
    stage.add(0, 10, 'payments')
    expect(main.topicsOf!(next())).to.deep.equal(['orders', 'payments'])
  })

  it('gives back what waits in all of its queues', () => {
    stage.add(0)
    stage.answer(next(), { 0: 7 })
    stage.add(0)
    stage.add(1)
    stage.add(2, 10, 'orders', true)
    stage.added!.settled = true
    expect(stage.produce.drain().map(({ key }) => key)).to.deep.equal(['orders/1', 'orders/0'])
    expect(next(), 'nothing is left').to.equal(undefined)
    expect(next('slow')).to.equal(undefined)
  })

  describe('partitions of a topic that was just created', () => {
    const add = (): BatchAnswer[] => stage.add(0, 10, 'orders', true)

    it('go by themselves until they have been written to', () => {
      add()
      stage.add(1)
      expect([partitionsOf(next()), partitionsOf(next('newTopics'))]).to.deep.equal([['orders/1'], ['orders/0']])
    })

    it('go with all others once they have been written to, and not after a refusal', () => {
      for (const [errorCode, producer] of [
        [10, 'newTopics'],
        [0, 'main']
      ] as const) {
        add()
        stage.answer(next('newTopics'), { 0: errorCode }, 'newTopics')
        add()
        expect(partitionsOf(next(producer)), `after ${errorCode}`).to.deep.equal(['orders/0'])
      }
    })

    it('go by themselves again once a broker did not lead them: the topic may be another one', () => {
      add()
      stage.answer(next('newTopics'), { 0: 0 }, 'newTopics')
      add()
      stage.answer(next(), { 0: 6 })
      add()
      expect(partitionsOf(next('newTopics'))).to.deep.equal(['orders/0'])
    })

    it('go with the slow ones where they hold up a call', () => {
      add()
      stage.answer(next('newTopics'), { 0: 7 }, 'newTopics')
      add()
      expect([next('newTopics'), partitionsOf(next('slow'))]).to.deep.equal([undefined, ['orders/0']])
    })
  })

  for (const [errorCode, reason] of [
    [3, 'unknownTopicOrPartition'],
    [5, 'notLeader'],
    [56, 'notLeader'],
    [74, 'notLeader']
  ] as const) {
    it(`has the leader looked up after ${errorCode}`, () => {
      stage.add(3)
      const [news] = stage.answer(next(), { 3: errorCode })
      expect(news).to.deep.equal({ reason, requests: [], topic: 'orders', partition: 3 })
    })
  }

  it('has nothing looked up after a refusal that is not about the leader, or an answer about another partition', () => {
    const answers = stage.add(3)
    expect(stage.answer(next(), { 3: 10, 4: 6 })).to.deep.equal([])
    expect(answers).to.have.length(1)
  })

  it('tells what a broker says of a whole call, which is then not on its way any more', () => {
    const [one, two] = [stage.add(0), stage.add(1)]
    const call = next()
    for (const batch of call.batches.values()) batch.state.inFlight = true
    const refusal = new KafkaError(35, 'another version', false)
    expect(stage.produce.main.callFailed(call, refusal, true)).to.deep.equal([])
    expect([one, two]).to.deep.equal([[{ type: 'rejected', errorCode: 35 }], [{ type: 'rejected', errorCode: 35 }]])
    expect(call.batches.map(({ state }) => state.inFlight)).to.deep.equal([false, false])
    stage.add(0)
    expect(partitionsOf(next()), 'no reason to keep it apart').to.deep.equal(['orders/0'])
  })

  it('keeps no partition apart for a call that timed out before it left, and tells why its batches wait', () => {
    stage.add(0)
    const batch = stage.added!
    const back = stage.produce.main.callFailed(next(), new TimedOutError('connect', 1), false)
    expect([back, batch.state.obstacle]).to.deep.equal([[batch], 'brokerUnreachable'])
    stage.produce.addToQueue(batch)
    expect(partitionsOf(next())).to.deep.equal(['orders/0'])
    batch.settled = true
    expect(
      stage.produce.main.callFailed(
        { batches: [batch], sizeBytes: 10, sentAt: 0 },
        new TimedOutError('connect', 1),
        false
      ),
      'nobody waits any more'
    ).to.deep.equal([])
  })
})

describe('answers to sealed batches', () => {
  const stage = new ProcessorStage()
  let answers: BatchAnswer[]
  let batch: OpenRequest<'produceBatch'>
  beforeEach(() => {
    answers = []
    const sealed = {
      topic: 'orders',
      partition: 3,
      bytes: Buffer.alloc(1),
      answer: (told: BatchAnswer) => answers.push(told)
    }
    batch = stage.openRequests.accept(produceBatch, sealed as never, 5_000, 0)
  })
  const any = (): OpenRequest => batch as OpenRequest

  it('name what kept a batch from being sent until its time was up', () => {
    batch.state.obstacle = 'brokerUnreachable'
    answerTimedOut(any())
    const message = 'orders/3: the leader could not be reached in time'
    expect(answers).to.deep.equal([{ type: 'notSent', reason: 'brokerUnreachable', message }])
  })

  it('do not come from the deadline while a call carries the batch: only the call tells what became of it', () => {
    batch.state.inFlight = true
    answerTimedOut(any())
    expect([answers, batch.settled]).to.deep.equal([[], false])
  })

  for (const [what, reason, message] of [
    ['topic', 'unknownTopic', 'orders/3: the topic does not exist'],
    ['partition', 'unknownPartition', 'orders/3: the topic has no such partition']
  ] as const) {
    it(`name a ${what} that is unknown`, () => {
      answerUnknown(any(), what)
      expect(answers).to.deep.equal([{ type: 'notSent', reason, message }])
    })
  }

  it('are rejections where Kafka has refused the batch, with its code', () => {
    fail(any(), kafkaFailure(29))
    expect(answers).to.deep.equal([{ type: 'rejected', errorCode: 29 }])
  })

  for (const code of ['shuttingDown', 'brokerUnreachable', 'overloaded', 'unknownTopic'] as const) {
    it(`keep the reason ${code}`, () => {
      fail(any(), ownFailure(code, 'why', true))
      expect(answers).to.deep.equal([{ type: 'notSent', reason: code, message: 'why' }])
    })
  }

  it('know no leader for any other reason', () => {
    fail(any(), ownFailure('protocol', 'why', false))
    expect(answers).to.deep.equal([{ type: 'notSent', reason: 'noLeader', message: 'why' }])
  })

  it('are given once: a second one is dropped', () => {
    expect([notSent(batch, 'clusterChanged'), notSent(batch, 'noLeader')]).to.deep.equal([true, false])
    expect(answers.map(answer => answer.type === 'notSent' && answer.reason)).to.deep.equal(['clusterChanged'])
  })
})
