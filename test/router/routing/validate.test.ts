import { expect } from 'chai'
import { isRouterMessage } from '../../../src/router/routing/validate.js'

describe('messages for the Router', () => {
  it('are requests, several of them, and those of followers', () => {
    for (const message of [
      { type: 'fetchData' },
      { type: 'heartbeat' },
      { type: 'produce' },
      { type: 'produceBatches' },
      { type: 'requests', requests: [] },
      { type: 'requests', requests: [{ type: 'fetchData' }, { type: 'produce' }] },
      { type: 'followTopics', topics: [], follower: {} },
      { type: 'unfollowTopics', topics: ['orders'], follower: {} }
    ]) {
      expect(isRouterMessage(message), JSON.stringify(message)).to.equal(true)
    }
  })

  it('are nothing else, whatever a caller without types sends', () => {
    for (const message of [
      undefined,
      null,
      'fetchData',
      7,
      {},
      { type: 'somethingElse' },
      { type: 'toString' },
      { type: ['fetchData'] },
      { type: 'produceBatch' },
      { type: 'requests' },
      { type: 'requests', requests: [{ type: 'fetchData' }, null] },
      { type: 'requests', requests: { length: 0 } },
      { type: 'followTopics', topics: 'orders', follower: {} },
      { type: 'followTopics', topics: [] },
      { type: 'unfollowTopics', follower: {} }
    ]) {
      expect(isRouterMessage(message), JSON.stringify(message)).to.equal(false)
    }
  })
})
