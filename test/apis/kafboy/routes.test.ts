import { expect } from 'chai'
import { kafboyOperations, RouteTable } from '../../../src/apis/kafboy/routes.js'
import { kafboySettings, templateProblem } from '../../../src/apis/kafboy/settings.js'
import { checkRows } from '../../support/rows.js'

const find = (path: string, settings: object = {}): string => {
  const route = new RouteTable(kafboySettings.parse(settings)).find(path)
  return route === undefined ? 'none' : route.type === 'produce' ? `${route.mode} ${route.topic}` : route.type
}

describe('kafboy: routes', () => {
  const cases: [string, string][] = [
    ['/async/t', 'async t'],
    ['/async/t/', 'async t'],
    ['/sync/t', 'sync t'],
    ['/batch/async/t', 'batchAsync t'],
    ['/batch/sync/t/', 'batchSync t'],
    ['/disco', 'disco'],
    ['/disco/', 'disco'],
    ['/echo_post', 'disco'],
    ['/async/', 'none'],
    ['/async', 'none'],
    ['/async//', 'none'],
    ['/async/t//', 'none'],
    ['/async/t/u', 'none'],
    ['/Async/t', 'none'],
    ['/', 'none'],
    ['', 'none'],
    ['/safe/async/t', 'none'],
    ['/batch/t', 'none'],
    ['/async/a+b', 'async a b'],
    ['/async/a%2Fb', 'async a/b'],
    ['/async/%61', 'async a'],
    ['/%61sync/t', 'async t'],
    ['/async/%2561', 'async %61'],
    ['/async/%zz', 'undecodable'],
    ['/async/__proto__', 'async __proto__']
  ]
  it('kafboy 13: each path has the route of kafboy, or none', () =>
    checkRows(cases, ([path, expected]) => expect(find(path)).to.equal(expected)))

  it('kafboy 14: takes the mode of a custom route from its list', () => {
    const lists = { routesSync: ['/1/foo/:topic'], routesAsync: ['/a/:topic'], routesAsyncBatch: ['/b/:topic/[:rest]'] }
    expect(find('/1/foo/t', lists)).to.equal('sync t')
    expect(find('/a/t/', lists)).to.equal('async t')
    expect(find('/b/t', lists)).to.equal('batchAsync t')
    expect(find('/b/t/x', lists)).to.equal('batchAsync t')
    expect(find('/b/t/x/y', lists)).to.equal('none')
  })

  it('understands brackets and the rest as cowboy does', () => {
    const lists = { routesSync: ['/v[1/[minor]]/:topic/[...]'] }
    expect(find('/v1/minor/t', lists)).to.equal('sync t')
    expect(find('/v/t', lists)).to.equal('sync t')
    expect(find('/v1/t/any/thing', lists)).to.equal('sync t')
  })

  it('moves kafboy’s own paths with their templates', () => {
    const urls = { syncUrl: '/s/:topic', asyncUrl: '/a/:topic' }
    expect(find('/s/t', urls)).to.equal('sync t')
    expect(find('/batch/a/t', urls)).to.equal('batchAsync t')
    expect(find('/sync/t', urls)).to.equal('none')
  })

  it('serves the paths of older versions where they are asked for', () => {
    expect(find('/safe/sync/t', { safeRoutes: true })).to.equal('sync t')
    expect(find('/safe/batch/async/t', { safeRoutes: true })).to.equal('batchAsync t')
  })

  it('are described as they are served, but for those with an open end', () => {
    const settings = kafboySettings.parse({
      safeRoutes: true,
      routesSync: ['/v1[/:app]/:topic', '/rest/:topic/[...]'],
      routesAsync: ['/a[/:topic]']
    })
    const operations = kafboyOperations(settings)
    const own = ['/sync/{topic}', '/async/{topic}', '/batch/sync/{topic}', '/batch/async/{topic}']
    expect(operations.map(({ method, path }) => `${method} ${path}`)).to.have.members([
      'post /v1/{app}/{topic}',
      'post /v1/{topic}',
      'post /a/{topic}',
      ...['get', 'post'].flatMap(method => [`${method} /disco`, `${method} /echo_post`]),
      ...own.flatMap(path => [`post ${path}`, `post /safe${path}`])
    ])
    expect(new Set(operations.map(({ id }) => id)).size).to.equal(operations.length)
    expect(Object.keys(operations[1]!.params!)).to.deep.equal(['app', 'topic'])
  })

  it('are named in the description by their mode, their list and their form', () => {
    const idsOf = (settings: object): string[] => kafboyOperations(kafboySettings.parse(settings)).map(({ id }) => id)
    const own = ['sync', 'async', 'batchSync', 'batchAsync']
    const safe = ['safeSync', 'safeAsync', 'safeBatchSync', 'safeBatchAsync']
    const [plain, older] = [idsOf({}), idsOf({ safeRoutes: true })]
    expect(plain).to.include.members(own).and.not.to.include.members(safe)
    expect(older).to.include.members([...own, ...safe])
    const custom = idsOf({
      routesSync: ['/s/:topic', '/t[/x]/:topic'],
      routesAsync: ['/a/:topic'],
      routesAsyncBatch: ['/b/:topic']
    })
    expect(custom).to.include.members(['routeSync1', 'routeSync2', 'routeSync2Short1', 'routeAsync1', 'routeBatch1'])
  })

  it('of a list go before others of lists that come later', () => {
    const lists = {
      routesSync: ['/x/:topic'],
      routesAsync: ['/x/:topic'],
      routesAsyncBatch: ['/x/:topic', '/y/:topic']
    }
    expect([find('/x/t', lists), find('/y/t', lists)]).to.deep.equal(['async t', 'batchAsync t'])
    expect(find('/x/t', { ...lists, routesAsync: [] })).to.equal('sync t')
  })

  it('may end early or late in brackets and rests', () => {
    expect(find('/v/t/a/b', { routesSync: ['/v/:topic[/a[/b]]'] })).to.equal('sync t')
    expect(find('/v/t/b', { routesSync: ['/v/:topic[/a[/b]]'] })).to.equal('none')
    expect(find('/v/t', { routesSync: ['/v/:topic[/a[/b]]'] })).to.equal('sync t')
    expect(find('/r/t', { routesSync: ['/r/:topic/[...]'] })).to.equal('sync t')
    expect(find('/r', { routesSync: ['/r/:topic/[...]'] })).to.equal('none')
  })

  it('says what is wrong with a template', () => {
    expect(templateProblem('/a/:topic')).to.equal(undefined)
    expect(templateProblem('/a[/:topic]')).to.equal(undefined)
    expect(templateProblem('a/:topic')).to.equal('begin it with /')
    expect(templateProblem('/a/:topics')).to.include(':topic')
    expect(templateProblem('/a[/:topic')).to.equal('close every bracket')
  })
})
