import { expect } from 'chai'
import { targetOf } from '../../../src/apis/arion/target.js'
import { checkRows } from '../../support/rows.js'

const post = (path: string) => targetOf('POST', path, false)
const produce = (mode: string, topic: string, key: string | null) => ({ type: 'produce', mode, topic, key })

describe('the target of a request to Arion', () => {
  it('arion 4: has no key where the path ends with the topic, with a slash or without', () => {
    expect(post('/sync/test')).to.deep.equal(produce('sync', 'test', null))
    expect(post('/async/test/')).to.deep.equal(produce('async', 'test', null))
  })

  const keys: readonly [path: string, key: string][] = [
    ['a/b/c', 'a/b/c'],
    ['a%2Fb+c%20d', 'a/b c d'],
    ['%E2%82%AC', '€'],
    ['\xe2\x82\xac', '€'],
    ['%FF', '\ufffd'],
    ['%e2%82x', '\ufffdx'],
    ['/', '/'],
    ['%00', '\0'],
    ["-_.~!*'()$&,;=:@", "-_.~!*'()$&,;=:@"],
    ['a#b', 'a#b'],
    ['%2B', '+']
  ]
  it('arion 3: has a key that is decoded as forms are', () =>
    checkRows(keys, ([path, key]) => expect(post(`/sync/t/${path}`)).to.deep.equal(produce('sync', 't', key))))

  const topics = ['.', '..', 'te%20st', 'te%2Fst', 'te+st', 'x'.repeat(256), 'x'.repeat(250), 'test%0A', 'a%FF', 'a~b']
  it('arion 11: is refused in each mode where Kafka cannot have the topic', () =>
    checkRows(topics, topic => {
      for (const mode of ['sync', 'async', 'websocket', 'other']) {
        expect(post(`/${mode}/${topic}/key`)).to.deep.equal({ type: 'malformedTopic' })
      }
    }))

  it('arion 11: has every other topic that Kafka takes', () => {
    for (const topic of ['a', 'A-b_c.9', 'x'.repeat(249), '...', '%61']) {
      expect(post(`/sync/${topic}`)).to.deep.equal(produce('sync', decodeURIComponent(topic), null))
    }
  })

  const malformed = [
    ['/sync/t/%zz', 'Malformed escape pair at index 8: /sync/t/%zz'],
    ['/%', 'Malformed escape pair at index 1: /%'],
    ['/sync/a|b', 'Illegal character in path at index 7: /sync/a|b'],
    ['/sync/a[1]', 'Illegal character in path at index 7: /sync/a[1]'],
    ['/nothing"', 'Illegal character in path at index 8: /nothing"'],
    ...[...'<>\\^`{}] \t'].map(
      character => [`/sync/${character}`, `Illegal character in path at index 6: /sync/${character}`] as const
    )
  ] as const
  it('arion 12: is refused with what is wrong in a malformed path', () =>
    checkRows(malformed, ([path, details]) =>
      expect(targetOf('PUT', path, false)).to.deep.equal({ type: 'malformedUrl', details })
    ))

  it('has any word for a mode, which is said later not to be supported', () => {
    for (const path of ['/foo/t', '/stats/x', '/health-check/x', '/SYNC/t/k', '/a.b-c_9/t']) {
      for (const method of ['GET', 'POST']) {
        expect(targetOf(method, path, false)).to.deep.equal({ type: 'unsupportedMode' })
      }
    }
  })

  const nowhere: readonly (readonly [method: string, path: string])[] = [
    ...['PUT', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD', 'GET'].map(method => [method, '/sync/test'] as const),
    ...['POST', 'HEAD', 'PUT'].map(method => [method, '/stats'] as const),
    ...['POST', 'PUT', 'OPTIONS'].map(method => [method, '/health-check'] as const),
    ...['/', '', '/stats/', '/health-check/', '/sync', '/sync/', '//t', '/%73ync/t', '/s+c/t'].map(
      path => ['POST', path] as const
    ),
    ['GET', '/stats/'],
    ['GET', '/health-check/'],
    ['GET', '/Stats']
  ]
  it('arion 14: is an unknown resource for other methods and paths', () =>
    checkRows(nowhere, ([method, path]) =>
      expect(targetOf(method, path, false)).to.deep.equal({ type: 'unknownResource' })
    ))

  it('arion 15: is health for GET and HEAD, and statistics for GET', () => {
    expect(targetOf('GET', '/health-check', false)).to.deep.equal({ type: 'health' })
    expect(targetOf('HEAD', '/health-check', false)).to.deep.equal({ type: 'health' })
    expect(targetOf('GET', '/stats', false)).to.deep.equal({ type: 'stats' })
  })

  it('produces by GET where that is asked for', () => {
    expect(targetOf('GET', '/sync/t/k', true)).to.deep.equal(produce('sync', 't', 'k'))
    expect(targetOf('GET', '/websocket/t', false)).to.deep.equal(produce('websocket', 't', null))
  })

  it('is found in time that grows with the length of the path only', () => {
    for (const path of [`/sync/t/${'%41'.repeat(5_000)}`, `/${'a'.repeat(16_000)}|`, '/'.repeat(16_000)]) {
      const before = process.cpuUsage()
      post(path)
      // Of the process alone: on a busy machine much more time may pass.
      expect(process.cpuUsage(before).user / 1_000).to.be.below(500)
    }
  })
})
