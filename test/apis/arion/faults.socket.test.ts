import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { WebSocket } from 'ws'
import type { EmbeddedCluster, Faults } from '../../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import type { App } from '../../../src/server/app/app.js'
import { until } from '../../http/server/stage.js'
import { freshTopic } from '../../support/target-cluster.js'
import { startTestApp } from '../../support/test-app.js'

interface Answer {
  readonly status: number
  readonly body: Readonly<Record<string, unknown>>
}

/** Brokers that misbehave on demand. What both kinds of clusters can do is in test/runs/integration/arion*.test.ts. */
for (const durability of ['disk', 'memory'] as const) {
  describe(`arion over brokers that fail, with its messages kept in ${durability}`, function () {
    this.timeout(120_000)
    let cluster: EmbeddedCluster
    let faults: Faults
    let folder: string
    let app: App
    let url: string
    before(async () => {
      cluster = await startEmbeddedCluster()
      faults = cluster.faults
      folder = mkdtempSync(join(tmpdir(), 'castellan-arion-'))
      await start()
    })
    after(async () => {
      await app?.stop()
      await cluster?.close()
      rmSync(folder, { recursive: true, force: true })
    })

    const start = async (): Promise<void> => {
      app = await startTestApp(cluster.bootstrap, {
        'apis.arion.port': '0',
        'apis.arion.idleTimeoutMs': '60000',
        'apis.arion.durability': durability,
        'wal.directory': folder
      })
      url = app.urls.apis.get('arion')!
    }
    const post = async (path: string, body: string): Promise<Answer> => {
      const answer = await fetch(`${url}${path}`, { method: 'POST', body })
      return { status: answer.status, body: (await answer.json()) as Answer['body'] }
    }
    const newTopic = (name: string, partitions = 1): string => {
      const topic = freshTopic(name)
      cluster.createTopic(topic, { partitions })
      return topic
    }
    const textsIn = (topic: string, partition = 0): string[] =>
      cluster.records(topic, partition).map(({ value }) => String(value))
    const numbered = (count: number): string[] => Array.from({ length: count }, (_, i) => `m${i}`)

    it('arion 21: three failures in a row that can be retried end in 201, and nothing overtakes', async () => {
      const topic = newTopic('retried')
      const errorCode = errorCodes.NOT_LEADER_OR_FOLLOWER
      const fault = faults.add({ api: 'Produce', topic, count: 3 }, { type: 'error', errorCode })
      const answers = await Promise.all(numbered(50).map(body => post(`/sync/${topic}/k`, body)))
      expect(answers.every(({ status }) => status === 201)).to.equal(true)
      expect(fault.fired).to.equal(3)
      const texts = textsIn(topic)
      expect(texts).to.have.members(numbered(50))
      for (const [i, { body }] of answers.entries()) expect(texts[body.offset as number]).to.equal(`m${i}`)
    })

    it('arion 22: a message that Kafka refuses for good is answered with an error, and others go on', async () => {
      const topic = newTopic('refused')
      const errorCode = errorCodes.INVALID_RECORD
      const fault = faults.add({ api: 'Produce', topic, count: 1 }, { type: 'error', errorCode })
      const refused = await post(`/sync/${topic}/k`, 'poison')
      expect([refused.status, refused.body.status, typeof refused.body.error]).to.deep.equal([500, 'error', 'string'])
      expect(fault.fired).to.equal(1)
      expect((await post(`/sync/${topic}/k`, 'good')).status).to.equal(201)
      expect(textsIn(topic)).to.deep.equal(['good'])
    })

    const itOnDisk = durability === 'disk' ? it : () => undefined
    itOnDisk('arion 22: a new start does not send it again', async () => {
      const topic = newTopic('buried')
      faults.add({ api: 'Produce', topic, count: 1 }, { type: 'error', errorCode: errorCodes.INVALID_RECORD })
      expect((await post(`/sync/${topic}`, 'poison')).status).to.equal(500)
      const deadLetters = async (): Promise<unknown> => {
        const { queue } = (await (await fetch(`${url}/stats`)).json()) as { queue: Record<string, number> }
        return queue['dead-letters']
      }
      await until(async () => Number(await deadLetters()) >= 2, 'the dead letter', deadLetters)
      await app.stop()
      await start()
      expect((await post(`/sync/${topic}`, 'later')).status).to.equal(201)
      expect(textsIn(topic)).to.deep.equal(['later'])
    })

    it('arion 24: a partition that is stuck holds up no other', async () => {
      const topic = newTopic('stuck', 8)
      const match = { api: 'Produce', topic, partition: 3, count: Number.POSITIVE_INFINITY } as const
      const fault = faults.add(match, { type: 'error', errorCode: errorCodes.NOT_ENOUGH_REPLICAS })
      const stuck = post(`/sync/${topic}/mykey`, 'stuck')
      await fault.whenFired()
      const others = await Promise.all(Array.from({ length: 20 }, () => post(`/sync/${topic}/k1`, 'x')))
      expect(others.every(({ status, body }) => status === 201 && body.partition === 6)).to.equal(true)
      fault.remove()
      expect((await stuck).status).to.equal(201)
    })

    it('a websocket goes on through retries without a message lost, doubled or overtaken', async () => {
      const topic = newTopic('websocket')
      const errorCode = errorCodes.NOT_LEADER_OR_FOLLOWER
      const cut = faults.add({ api: 'Produce', topic, count: 1 }, { type: 'close', afterWork: true })
      const retried = faults.add({ api: 'Produce', topic, count: 3, skip: 1 }, { type: 'error', errorCode })
      const socket = new WebSocket(`${url.replace('http', 'ws')}/websocket/${topic}`)
      const offsets: unknown[] = []
      socket.on('message', data => offsets.push((JSON.parse(String(data)) as Answer['body']).offset))
      await once(socket, 'open')
      const bodies = numbered(3_000)
      for (const body of bodies) socket.send(body)
      await until(
        () => offsets.length === 3_000,
        'all replies',
        () => offsets.length
      )
      socket.terminate()
      expect([cut.fired, retried.fired]).to.deep.equal([1, 3])
      expect(offsets).to.deep.equal(bodies.map((_, offset) => offset))
      expect(textsIn(topic)).to.deep.equal(bodies)
    })

    it('a websocket whose message Kafka refuses for good ends behind the replies before it', async () => {
      const topic = newTopic('websocket-refused')
      const errorCode = errorCodes.INVALID_RECORD
      const socket = new WebSocket(`${url.replace('http', 'ws')}/websocket/${topic}`)
      await once(socket, 'open')
      const replied = once(socket, 'message')
      socket.send('good')
      await replied
      faults.add({ api: 'Produce', topic, count: 1 }, { type: 'error', errorCode })
      const closed = once(socket, 'close') as Promise<[number]>
      socket.send('poison')
      expect((await closed)[0]).to.equal(1011)
      expect(textsIn(topic)).to.deep.equal(['good'])
    })
  })
}
