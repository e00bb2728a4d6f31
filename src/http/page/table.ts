import htm from 'htm'
import { h, type VNode } from 'preact'
import { useState } from 'preact/hooks'
import { isoNow } from '../../core/instants.js'
import { countText, instantText } from '../status/units.js'

/** Templates of the page: `<p class=${name}>…</p>` between backquotes. */
export const html: (strings: TemplateStringsArray, ...values: unknown[]) => VNode = htm.bind(h) as never

/** An instant in UTC, as in the rows of troubles; with its date where that is not today's. */
export const instantOf = (instant: string | number): string => instantText(instant, isoNow())

/** A column of a table. Numbers stand at the right; rows can be sorted by a column that says by what. */
export interface TableColumn<Row> {
  readonly name: string
  readonly isNumber?: boolean
  readonly show: (row: Row) => VNode | string
  readonly sortBy?: (row: Row) => number | string
}

export const text = <Row>(name: string, show: TableColumn<Row>['show']): TableColumn<Row> => ({ name, show })

export const sorted = <Row>(name: string, show: (row: Row) => string): TableColumn<Row> => ({
  name,
  show,
  sortBy: show
})

/** A column of numbers; a missing number is shown as `unknown`. */
export const number = <Row>(
  name: string,
  of: (row: Row) => number | undefined,
  format: (value: number) => string = countText,
  unknown = '–'
): TableColumn<Row> => {
  const show = (value: number | undefined): string => (value === undefined ? unknown : format(value))
  return { name, isNumber: true, show: row => show(of(row)), sortBy: row => of(row) ?? -1 }
}

export const state = <Row>(
  of: (row: Row) => readonly [level: string, text: string],
  name = 'State'
): TableColumn<Row> => ({
  name,
  show: row => html`<span class="state ${of(row)[0]}">${of(row)[1]}</span>`,
  sortBy: row => of(row)[0]
})

/** A table that its reader can sort by buttons in its head. @param sortedBy the column by which its rows are sorted first */
export const table = <Row>(
  caption: string,
  columns: readonly TableColumn<Row>[],
  rows: readonly Row[],
  sortedBy?: string
): VNode => html`<${Table} caption=${caption} columns=${columns} rows=${rows} sortedBy=${sortedBy} />`

interface TableProps<Row> {
  readonly caption: string
  readonly columns: readonly TableColumn<Row>[]
  readonly rows: readonly Row[]
  readonly sortedBy?: string
}

/** The roles are named, because on a phone rows are laid out as blocks, and browsers then forget that it is a table. */
function Table<Row>({ caption, columns, rows, sortedBy }: TableProps<Row>): VNode {
  const [{ by, sign }, sort] = useState({ by: sortedBy, sign: -1 })
  const head = ({ name, isNumber, sortBy }: TableColumn<Row>): VNode => {
    const [direction, arrow] = by !== name ? ['none', ''] : sign < 0 ? ['descending', '▾'] : ['ascending', '▴']
    const turn = (): void => sort({ by: name, sign: direction === 'descending' ? 1 : -1 })
    return html`<th scope="col" role="columnheader" class=${isNumber ? 'number' : ''} aria-sort=${sortBy && direction}>
      ${sortBy === undefined ? name : html`<button type="button" class="sort" onClick=${turn}>${name}<span class="arrow" aria-hidden="true">${arrow}</span></button>`}
    </th>`
  }
  const keyOf = columns.find(({ name }) => name === by)?.sortBy ?? (() => 0)
  const signOf = (one: number | string, other: number | string): number => (one === other ? 0 : one < other ? -1 : 1)
  const inOrder = [...rows].sort((one, other) => sign * signOf(keyOf(one), keyOf(other)))
  return html`<div class="scroll" role="region" aria-label=${caption} tabindex="0"><table role="table">
    <caption class="hidden">${caption}</caption>
    <thead role="rowgroup"><tr role="row">${columns.map(head)}</tr></thead>
    <tbody role="rowgroup">${inOrder.map(
      row =>
        html`<tr role="row">${columns.map(({ name, show, isNumber }, index) =>
          index === 0
            ? html`<th scope="row" role="rowheader">${show(row)}</th>`
            : html`<td role="cell" class=${isNumber ? 'number' : ''} data-name=${name}>${show(row)}</td>`
        )}</tr>`
    )}</tbody>
  </table></div>`
}
