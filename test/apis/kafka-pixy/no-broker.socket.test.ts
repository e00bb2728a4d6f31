import { setTimeout as sleep } from 'node:timers/promises'
import { credentials } from '@grpc/grpc-js'
import { expect } from 'chai'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'
import { GrpcStage } from './grpc-stage.js'
import { brief, PixyGateway } from './stage.js'

const NO_BROKER = 'kafka: client has run out of available brokers to talk to (Is your cluster reachable?)'
const QUICK = { 'consumer.longPollMs': '500' }

describe('pixy: a request for a message while no broker can be reached', function () {
  this.timeout(30_000)

  it('fails before the group has begun, since nothing is fixed that an answer would promise', async () => {
    const pixy = await PixyGateway.at('127.0.0.1:1', QUICK)
    try {
      const failed = `500 {"error":"${NO_BROKER}"}`
      expect(brief(await pixy.get('/topics/orders/messages?group=billing'))).to.equal(failed)
      expect(brief(await pixy.get('/topics/orders/messages?group=billing&count=3'))).to.equal(failed)
    } finally {
      await pixy.stop()
    }
  })

  it('fails before the group has begun, by gRPC as well', async () => {
    const grpc = await GrpcStage.start('127.0.0.1:1', QUICK, credentials.createInsecure())
    try {
      const asked = grpc.ask('ConsumeNAck', { topic: 'orders', group: 'billing', no_ack: true })
      expect(await grpc.refusal(asked)).to.equal(`13: ${NO_BROKER}`)
    } finally {
      await grpc.stop()
    }
  })

  it('is answered that there is none once the group has begun, and what is written later is offered', async () => {
    const cluster = await startEmbeddedCluster()
    cluster.createTopic('orders', { partitions: 2 })
    const pixy = await PixyGateway.over(cluster, QUICK)
    const ask = (): Promise<string> => pixy.get('/topics/orders/messages?group=billing').then(brief)
    const timeout = '408 {"error":"long polling timeout"}'
    const ready = async (): Promise<number> => (await fetch(`${pixy.app.urls.management}/ready/kafka`)).status
    try {
      // The group may begin later than the first answer comes.
      do expect(await ask()).to.equal(timeout)
      while (cluster.requestCount('Fetch') === 0)
      await cluster.stopNode(1)
      while ((await ready()) === 200) await sleep(20)
      expect(await ask()).to.equal(timeout)
      await cluster.startNode(1)
      while ((await ready()) !== 200) await sleep(20)
      for (const partition of [0, 1]) {
        expect((await pixy.produce(`/topics/orders/messages?sync&key=${partition}`, 'later')).status).to.equal(200)
      }
      for (let offered = 0; offered < 2; ) {
        const said = await ask()
        if (said.startsWith('200')) offered++
        else expect(said).to.equal(timeout)
      }
    } finally {
      await pixy.stop()
      await cluster.close()
    }
  })
})
