import { expect } from 'chai'
import { brief, PixyGateway } from '../../apis/kafka-pixy/stage.js'
import { KafkaCluster } from './cluster.js'

const NO_SUCH_TOPIC = 'kafka server: Request was for a topic or partition that does not exist on this broker.'

/** A cluster of its own, since the others create topics. */
describe('a cluster that creates no topics by itself', function () {
  this.timeout(300_000)
  let kafka: KafkaCluster
  let pixy: PixyGateway
  before(async () => {
    kafka = await KafkaCluster.start({ 'auto.create.topics.enable': 'false' })
    // Longer than the test: only look-ups that confirm it can tell that a topic is missing.
    pixy = await PixyGateway.at(kafka.bootstrap, { 'advanced.router.unknownTopicTimeoutMs': '600000' })
  })
  after(async () => {
    await pixy?.stop()
    await kafka?.stop()
  })
  const produce = (topic: string) => pixy.produce(`/topics/${topic}/messages?sync`, 'm')

  it('is found out: a topic that is not there is missing after a few look-ups', async () => {
    for (const topic of ['none', 'nothing', 'nowhere']) {
      const startedAt = performance.now()
      expect(brief(await produce(topic))).to.equal(`404 {"error":"${NO_SUCH_TOPIC}"}`)
      console.log(`      missing after ${Math.round(performance.now() - startedAt)} ms`)
    }
  })

  it('has a topic that was just created, for the first message', async () => {
    await kafka.createTopic('orders', 4)
    expect((await produce('orders')).status).to.equal(200)
  })

  it('is told that a topic was created while a message waits for it', async () => {
    const produced = produce('late')
    await kafka.admin.ask('createTopic', 'late', 4, 3)
    const first = await produced
    // It came in time, or it did not, and is remembered to be missing for a while.
    expect(first.status).to.be.oneOf([200, 404])
    while ((await produce('late')).status !== 200) await new Promise(resolve => setTimeout(resolve, 100))
  })
})
