import { expect } from 'chai'
import type { TopicNews } from '../../src/operations.js'
import { FollowedTopics } from '../../src/router/followed-topics.js'

describe('router: topics that delivery follows', () => {
  let known: Map<string, TopicNews>
  let wanted: string[]
  let told: TopicNews[][]
  let followed: FollowedTopics
  beforeEach(() => {
    known = new Map()
    wanted = []
    told = []
    followed = new FollowedTopics({
      leaders: { newsOf: topic => known.get(topic) },
      schedule: { want: topic => wanted.push(topic) },
      mayCreate: true
    })
  })
  const follower = { topicsTold: (news: readonly TopicNews[]) => told.push([...news]) }
  const follow = (topics: string[], anew = false) =>
    followed.follow({ type: 'followTopics', topics, follower, anew }, 0)
  const is = (topic: string, isDoubted = false): TopicNews => {
    const news = { type: 'known', topic, partitionCount: 3, topicId: undefined, isDoubted } as const
    known.set(topic, news)
    return news
  }

  it('house 5: tells at once what is known, and has the rest looked up', () => {
    const orders = is('orders')
    follow(['orders', 'audit'])
    expect(told).to.deep.equal([[orders]])
    expect(wanted).to.deep.equal(['audit'])
  })

  it('house 5: tells all news of a look-up in one call, until they are believed to be missing', () => {
    follow(['a', 'b', 'c'])
    wanted = []
    const news: TopicNews[] = [is('a'), { type: 'denied', topic: 'b' }, { type: 'missing', topic: 'c', until: 9 }]
    for (const one of news) known.set(one.topic, one)
    followed.lookedUp(['a', 'b', 'c', 'd'], 1)
    expect(told).to.deep.equal([news])
    expect(wanted, 'what is denied is looked up again').to.deep.equal(['b'])
    expect(['a', 'b', 'c'].map(topic => followed.has(topic))).to.deep.equal([true, true, false])
  })

  it('house 5: looks a topic up again before it tells of it where that is asked for', () => {
    const orders = is('orders')
    follow(['orders'], true)
    expect(told).to.deep.equal([])
    expect(wanted).to.deep.equal(['orders'])
    followed.lookedUp(['orders'], 1)
    expect(told).to.deep.equal([[orders]])
  })

  it('house 5: looks a topic up again while its number of partitions is in doubt, or it has none yet', () => {
    follow(['doubted', 'empty'])
    is('doubted', true)
    wanted = []
    followed.lookedUp(['doubted', 'empty'], 1)
    expect(wanted).to.deep.equal(['doubted', 'empty'])
  })

  it('house 5: tells whoever does not want to know any more nothing', () => {
    follow(['orders'])
    followed.unfollow({ type: 'unfollowTopics', topics: ['orders', 'never'], follower })
    is('orders')
    followed.lookedUp(['orders'], 1)
    expect(told).to.deep.equal([])
    expect(followed.has('orders')).to.equal(false)
  })
})
