import { SmallHeap } from './small-heap.js'
import { UNREAD_MESSAGES, unreadAnswers } from './unread-answers.js'

describe('queues: a process of 256 MB whose clients do not read their answers', function () {
  this.timeout(120_000)
  const stage = new SmallHeap()
  before(() => stage.start(UNREAD_MESSAGES))
  afterEach(() => stage.closeSockets())
  after(() => stage.children.stopAll())

  for (const [name, take] of Object.entries(unreadAnswers)) {
    it(`lives through ${name}`, async () => {
      await take(stage)
      await stage.lives()
    })
  }
})
