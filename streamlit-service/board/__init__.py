"""The page of a person's containers as data, every sentence included: for the page and its feed."""

from board.cards import Card
from board.page import Board, Feed, board
from board.quota import quota

__all__ = ["Board", "Card", "Feed", "board", "quota"]
