import type { VNode } from 'preact'
import { useState } from 'preact/hooks'
import { html, type View } from './html.js'

export interface Column<Row> {
  readonly name: string
  /** Numbers stand at the right. */
  readonly isNumber?: boolean
  readonly show: (row: Row) => View
  /** By what rows are sorted; absent: they are not sorted by this column. */
  readonly sortBy?: (row: Row) => number | string
}

export interface TableProps<Row> {
  readonly caption: string
  readonly columns: readonly Column<Row>[]
  readonly rows: readonly Row[]
  readonly keyOf: (row: Row) => string
  /** The column by which the rows are sorted first; absent: the order in which they came. */
  readonly sortedBy?: string
}

interface Sorting {
  readonly name: string
  readonly isDescending: boolean
}

/**
 * A table that its reader can sort by buttons in its head. The roles are named, because on a phone its rows are laid out as
 * blocks, and browsers then forget that it is a table.
 */
export function Table<Row>({ caption, columns, rows, keyOf, sortedBy }: TableProps<Row>): VNode {
  const first = sortedBy === undefined ? undefined : { name: sortedBy, isDescending: true }
  const [sorting, sort] = useState<Sorting | undefined>(first)
  const heads = columns.map(column => html`<${Head} column=${column} sorting=${sorting} sort=${sort} />`)
  return html`<div class="scroll" role="region" aria-label=${caption} tabindex="0"><table role="table">
    <caption class="hidden">${caption}</caption>
    <thead role="rowgroup"><tr role="row">${heads}</tr></thead>
    <tbody role="rowgroup">${sorted(rows, columns, sorting).map(
      row =>
        html`<tr role="row" key=${keyOf(row)}>${columns.map(({ show, isNumber }, index) =>
          index === 0
            ? html`<th scope="row" role="rowheader">${show(row)}</th>`
            : html`<td role="cell" class=${isNumber ? 'number' : ''} data-name=${columns[index]!.name}>${show(row)}</td>`
        )}</tr>`
    )}</tbody>
  </table></div>`
}

interface HeadProps<Row> {
  readonly column: Column<Row>
  readonly sorting: Sorting | undefined
  readonly sort: (sorting: Sorting) => void
}

function Head<Row>({ column: { name, isNumber, sortBy }, sorting, sort }: HeadProps<Row>): VNode {
  const direction = sorting?.name !== name ? 'none' : sorting.isDescending ? 'descending' : 'ascending'
  if (sortBy === undefined)
    return html`<th scope="col" role="columnheader" class=${isNumber ? 'number' : ''}>${name}</th>`
  const turn = (): void => sort({ name, isDescending: direction !== 'descending' })
  const arrow = direction === 'none' ? '' : direction === 'descending' ? '▾' : '▴'
  return html`<th scope="col" role="columnheader" class=${isNumber ? 'number' : ''} aria-sort=${direction}>
    <button type="button" class="sort" onClick=${turn}>${name}<span class="arrow" aria-hidden="true">${arrow}</span></button>
  </th>`
}

function sorted<Row>(rows: readonly Row[], columns: readonly Column<Row>[], sorting?: Sorting): readonly Row[] {
  const by = columns.find(({ name }) => name === sorting?.name)?.sortBy
  if (sorting === undefined || by === undefined) return rows
  const sign = sorting.isDescending ? -1 : 1
  return [...rows].sort((one, other) => {
    const [a, b] = [by(one), by(other)]
    return a === b ? 0 : a < b ? -sign : sign
  })
}
