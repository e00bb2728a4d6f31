import { expect } from 'chai'
import type { TopicNews } from '../../../src/router/messages/operations.js'
import { SubscribedTopics } from '../../../src/router/routing/subscribed-topics.js'

describe('the Router, where delivery follows topics,', () => {
  let known: Map<string, TopicNews>
  let wanted: string[]
  let told: TopicNews[][]
  let followed: SubscribedTopics
  beforeEach(() => {
    known = new Map()
    wanted = []
    told = []
    followed = new SubscribedTopics({
      leaders: { newsOf: topic => known.get(topic) },
      schedule: { want: topic => wanted.push(topic) },
      mayCreate: true
    })
  })
  const follower = { topicNews: (news: readonly TopicNews[]) => told.push([...news]) }
  const follow = (topics: string[], anew = false) =>
    followed.follow({ type: 'followTopics', topics, follower, anew }, 0)
  const is = (topic: string, isDoubted = false): TopicNews => {
    const news = { type: 'known', topic, partitionCount: 3, topicId: undefined, isDoubted } as const
    known.set(topic, news)
    return news
  }

  it('tells at once what is known, and has the rest looked up', () => {
    const orders = is('orders')
    follow(['orders', 'audit'])
    expect(told).to.deep.equal([[orders]])
    expect(wanted).to.deep.equal(['audit'])
  })

  it('tells all news of a look-up in one call, until they are believed to be missing', () => {
    follow(['a', 'b', 'c'])
    wanted = []
    const news: TopicNews[] = [is('a'), { type: 'denied', topic: 'b' }, { type: 'missing', topic: 'c', until: 9 }]
    for (const one of news) known.set(one.topic, one)
    followed.lookedUp(['a', 'b', 'c', 'd'], 1)
    expect(told).to.deep.equal([news])
    expect(wanted, 'what is denied is looked up again').to.deep.equal(['b'])
    expect(['a', 'b', 'c'].map(topic => followed.has(topic))).to.deep.equal([true, true, false])
  })

  it('tells of a deleted topic, and no longer has it looked up, which could create it again', () => {
    const others: TopicNews[][] = []
    const reader = { topicNews: (news: readonly TopicNews[]) => others.push([...news]) }
    follow(['orders'])
    followed.follow({ type: 'followTopics', topics: ['orders'], follower: reader, isReader: true }, 0)
    wanted = []
    known.set('orders', { type: 'denied', topic: 'orders' })
    followed.deleted('orders', 5)
    const gone = { type: 'missing', topic: 'orders', until: 5 } as const
    expect([told, others]).to.deep.equal([[[gone]], [[gone]]])
    followed.lookedUp(['orders'], 6)
    expect([followed.has('orders'), wanted, told.length]).to.deep.equal([false, [], 1])
    const remembered = { type: 'missing', topic: 'orders', until: 9 } as const
    known.set('orders', remembered)
    followed.deleted('orders', 6)
    expect(others.at(-1)).to.deep.equal([remembered])
  })

  it('looks a topic up again before it tells of it where that is asked for', () => {
    const orders = is('orders')
    follow(['orders'], true)
    expect(told).to.deep.equal([])
    expect(wanted).to.deep.equal(['orders'])
    followed.lookedUp(['orders'], 1)
    expect(told).to.deep.equal([[orders]])
  })

  it('looks a topic up again while its number of partitions is in doubt, or it has none yet', () => {
    follow(['doubted', 'empty'])
    is('doubted', true)
    wanted = []
    followed.lookedUp(['doubted', 'empty'], 1)
    expect(wanted).to.deep.equal(['doubted', 'empty'])
  })

  it('tells whoever does not want to know any more nothing', () => {
    follow(['orders'])
    followed.unfollow({ type: 'unfollowTopics', topics: ['orders', 'never'], follower })
    is('orders')
    followed.lookedUp(['orders'], 1)
    expect(told).to.deep.equal([])
    expect(followed.has('orders')).to.equal(false)
  })

  it('tells everybody who follows a topic, each in one call, until they are told that it is refused', () => {
    const others: TopicNews[][] = []
    const other = { topicNews: (news: readonly TopicNews[]) => others.push([...news]) }
    follow(['orders', 'secret'])
    followed.follow({ type: 'followTopics', topics: ['orders', 'secret', 'audit'], follower: other }, 0)
    followed.unfollow({ type: 'unfollowTopics', topics: ['audit'], follower })
    const secret: TopicNews = { type: 'refused', topic: 'secret', errorCode: 29, until: 9 }
    known.set('secret', secret)
    const [orders, audit] = [is('orders'), is('audit')]
    followed.lookedUp(['orders', 'secret', 'audit'], 1)
    expect([told, others]).to.deep.equal([[[orders, secret]], [[orders, secret, audit]]])
    expect(followed.has('secret')).to.equal(false)
    followed.unfollow({ type: 'unfollowTopics', topics: ['orders'], follower })
    followed.lookedUp(['orders', 'secret'], 2)
    expect([told.length, others.slice(1)]).to.deep.equal([1, [[orders]]])
  })

  it('tells who follows a topic twice once, and no more after one word, be it alone or beside another', () => {
    const others: TopicNews[][] = []
    const other = { topicNews: (news: readonly TopicNews[]) => others.push([...news]) }
    const followAs = (one: typeof other): void =>
      followed.follow({ type: 'followTopics', topics: ['orders'], follower: one }, 0)
    const unfollowAs = (one: typeof other): void =>
      followed.unfollow({ type: 'unfollowTopics', topics: ['orders'], follower: one })
    const counts = (): unknown[] => [told.length, others.length, followed.has('orders')]
    follow(['orders'])
    follow(['orders'])
    unfollowAs(other)
    const orders = is('orders')
    followed.lookedUp(['orders'], 1)
    expect(told).to.deep.equal([[orders]])
    followAs(other)
    followAs(other)
    const before = [told.length, others.length] as const
    followed.lookedUp(['orders'], 2)
    expect(counts()).to.deep.equal([before[0] + 1, before[1] + 1, true])
    followed.unfollow({ type: 'unfollowTopics', topics: ['orders'], follower })
    followed.lookedUp(['orders'], 3)
    expect(counts()).to.deep.equal([before[0] + 1, before[1] + 2, true])
    unfollowAs(other)
    followed.lookedUp(['orders'], 4)
    expect(counts()).to.deep.equal([before[0] + 1, before[1] + 2, false])
  })

  it('does not follow what is missing or refused, and says so, also to who wants it looked up anew', () => {
    const missing: TopicNews = { type: 'missing', topic: 'gone', until: 9 }
    const refused: TopicNews = { type: 'refused', topic: 'secret', errorCode: 29, until: 9 }
    for (const news of [missing, refused]) known.set(news.topic, news)
    for (const anew of [false, true]) follow(['gone', 'secret'], anew)
    expect(told).to.deep.equal([
      [missing, refused],
      [missing, refused]
    ])
    expect([wanted, followed.has('gone'), followed.has('secret')]).to.deep.equal([[], false, false])
  })

  it('tells nothing and looks nothing up of a topic that nobody follows, or of the cluster before', () => {
    follow(['orders'])
    wanted = []
    followed.clear()
    is('orders', true)
    followed.lookedUp(['orders', 'audit'], 1)
    expect([told, wanted, followed.has('orders')]).to.deep.equal([[], [], false])
  })

  describe('readers', () => {
    const read = (topics: string[]) => followed.follow({ type: 'followTopics', topics, follower, isReader: true }, 0)

    it('are told what is known, at once and after each look-up, and have nothing looked up that is not', () => {
      const orders = is('orders')
      read(['orders', 'audit'])
      expect(told).to.deep.equal([[orders]])
      const audit = is('audit')
      followed.lookedUp(['orders', 'audit'], 1)
      expect(told.slice(1)).to.deep.equal([[orders, audit]])
      expect(wanted).to.deep.equal([])
      expect([...followed.read]).to.deep.equal(['orders', 'audit'])
      expect(followed.has('orders'), 'nobody waits for it').to.equal(false)
    })

    it('have a topic looked up whose number of partitions is in doubt, and never have it created', () => {
      const asked: unknown[] = []
      followed = new SubscribedTopics({
        leaders: { newsOf: topic => known.get(topic) },
        schedule: { want: (topic, mayCreate) => asked.push([topic, mayCreate]) },
        mayCreate: true
      })
      is('orders', true)
      read(['orders', 'gone'])
      known.set('gone', { type: 'denied', topic: 'gone' })
      followed.lookedUp(['orders', 'gone'], 1)
      expect(asked).to.deep.equal([['orders', false]])
    })

    it('are told on after a topic was missing, and after another cluster was connected', () => {
      read(['orders'])
      known.set('orders', { type: 'missing', topic: 'orders', until: 9 })
      followed.lookedUp(['orders'], 1)
      followed.clear()
      const orders = is('orders')
      followed.lookedUp(['orders'], 2)
      expect(told.at(-1)).to.deep.equal([orders])
    })

    it('are told no more once they have said so', () => {
      read(['orders'])
      followed.unfollow({ type: 'unfollowTopics', topics: ['orders'], follower })
      is('orders')
      followed.lookedUp(['orders'], 1)
      expect([told, [...followed.read]]).to.deep.equal([[], []])
    })

    it('leave to those who write what they need: a topic they follow, too, is looked up as before', () => {
      read(['orders'])
      follow(['orders'])
      followed.lookedUp(['orders'], 1)
      expect(wanted).to.deep.equal(['orders', 'orders'])
    })
  })
})
