import { SmallHeap } from '../../apis/queues/small-heap.js'
import { UNREAD_MESSAGES, unreadAnswers } from '../../apis/queues/unread-answers.js'
import { kafkaVersion } from './jars.js'
import { runningKafka } from './shared-cluster.js'

describe('queues of a process of 256 MB whose clients do not read their answers, on real Kafka', function () {
  this.timeout(300_000)
  const stage = new SmallHeap()
  before(async function () {
    if (kafkaVersion.startsWith('3.')) this.skip()
    await stage.start(UNREAD_MESSAGES, runningKafka().bootstrap)
  })
  afterEach(() => stage.closeSockets())
  after(() => stage.children.stopAll())

  for (const [name, take] of Object.entries(unreadAnswers)) {
    it(`lives through ${name}`, async () => {
      await take(stage)
      await stage.lives()
    })
  }
})
