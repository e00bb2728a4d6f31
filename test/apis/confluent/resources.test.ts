import { expect } from 'chai'
import { z } from 'zod'
import { kind, Links, type ResourcePlace } from '../../../src/apis/confluent/v3/resources.js'
import { checkRows } from '../../support/rows.js'

const links = new Links('http://h', 'c')
const thing = kind<ResourcePlace>('Thing', place => place, { size: [z.int(), place => place.length] })

describe('confluent: the place of a resource', () =>
  it('is its URL, and what identifies it in the cluster', () =>
    checkRows(
      [
        [[], '', ''],
        [['brokers', 1], '/brokers/1', '/broker=1'],
        [['broker-configs', 'a'], '/broker-configs/a', '/broker-config=a'],
        [['topics', 't', 'configs', 'a'], '/topics/t/configs/a', '/topic=t/config=a'],
        [['topics', 't', 'partitions', 0, 'replicas', 2], null, '/topic=t/partition=0/replica=2'],
        [['topics', 't', 'partitions', 0, 'offset'], null, '/topic=t/partition=0/offset_type=earliest_and_latest'],
        [
          ['consumer-groups', 'a b', 'lag-summary'],
          '/consumer-groups/a%20b/lag-summary',
          '/consumer-group=a b/lag-summary'
        ],
        [['consumer-groups', 'g', 'lags', 't', 'partitions', 0], null, '/consumer-group=g/lag=t/partition=0'],
        [
          ['consumer-groups', 'g', 'consumers', 'm', 'assignments', 'ts', 'partitions', 0],
          null,
          '/consumer-group=g/consumer=m/assignment=ts/partition=0'
        ]
      ] as const,
      ([place, path, id]) => {
        const self = `http://h/v3/clusters/c${path ?? `/${place.join('/')}`}`
        const metadata = { self, resource_name: `crn:///kafka=c${id}` }
        expect(thing.json(place, links)).to.deep.equal({ kind: 'Thing', metadata, cluster_id: 'c', size: place.length })
      }
    )))
