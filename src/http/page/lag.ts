import type { VNode } from 'preact'
import type { GroupRow, LagRow, Status } from '../status/status.js'
import { countOf, countText } from '../status/units.js'
import { instantOf } from './format.js'
import { html } from './html.js'
import { type Column, Table } from './table.js'

const groupOf = ({ cluster, group }: Pick<LagRow, 'cluster' | 'group'>): string =>
  cluster === 'default' ? group : `${cluster} / ${group}`

const lagColumns: readonly Column<LagRow>[] = [
  { name: 'Group', show: groupOf, sortBy: groupOf },
  { name: 'Topic', show: ({ topic }) => topic ?? 'all', sortBy: ({ topic }) => topic ?? '' },
  {
    name: 'Behind',
    isNumber: true,
    show: ({ lag }) => (lag === undefined ? '?' : countText(lag)),
    sortBy: ({ lag }) => lag ?? -1
  },
  {
    name: 'As of',
    isNumber: true,
    show: ({ asOf }) => (asOf === undefined ? '–' : instantOf(asOf)),
    sortBy: ({ asOf }) => asOf ?? ''
  },
  {
    name: 'Remark',
    show: ({ problem, uncommitted }) =>
      [problem, uncommitted > 0 && `${countOf(uncommitted, 'partition')} without a committed offset, not counted`]
        .filter(Boolean)
        .join('; ')
  }
]

const groupColumns: readonly Column<GroupRow>[] = [
  { name: 'Group', show: groupOf, sortBy: groupOf },
  { name: 'Topics', show: ({ topics }) => topics.join(', ') },
  {
    name: 'Partitions',
    isNumber: true,
    show: ({ partitions }) => countText(partitions),
    sortBy: ({ partitions }) => partitions
  },
  { name: 'Waiting', isNumber: true, show: ({ waiting }) => countText(waiting), sortBy: ({ waiting }) => waiting },
  {
    name: 'Not acknowledged',
    isNumber: true,
    show: ({ pending }) => countText(pending),
    sortBy: ({ pending }) => pending
  },
  { name: 'Remark', show: ({ refusal }) => refusal?.message ?? '' }
]

/** How far groups are behind, and the groups that are served here. */
export function Lag({ status: { lag, groups } }: { readonly status: Status }): VNode {
  return html`<div>
    ${lag === undefined && html`<p class="calm">Kafka is not asked how far groups are behind. <code>metrics.lag.everyMs</code> turns it on.</p>`}
    ${lag !== undefined && lag.rows.length === 0 && html`<p class="calm">No group is known yet.</p>`}
    ${
      lag !== undefined &&
      lag.rows.length > 0 &&
      html`<${Table} caption="Groups by the records they are behind" columns=${lagColumns} rows=${lag.rows} sortedBy="Behind"
        keyOf=${({ cluster, group, topic }: LagRow) => `${cluster}/${group}/${topic ?? ''}`} />`
    }
    ${
      groups.rows.length > 0 &&
      html`<h3>Groups that are served here</h3><${Table} caption="Groups that are served here" columns=${groupColumns} rows=${groups.rows}
        keyOf=${({ cluster, group }: GroupRow) => `${cluster}/${group}`} />`
    }
  </div>`
}
